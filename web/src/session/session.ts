import { computed, ref, shallowRef } from 'vue'
import { get, post, remove } from '@/api'
import type { Organization, Session } from '@/api'

const session = shallowRef<Session | null>(null)
const known = ref(false)
const key = 'qanat-organization'
const chosen = ref((() => { try { return localStorage.getItem(key) ?? '' } catch { return '' } })())
const none: Organization = { id: '', name: '', groups: [] }

/** The organization the pages speak of. Its id is empty only while nobody is signed in. */
const org = computed<Organization>(() => session.value?.organizations.find((o) => o.id === chosen.value) ?? session.value?.organizations[0] ?? none)

/** The workspaces of that organization that the person is locked into; none: nothing is hidden. */
const inside = computed(() => (session.value?.workspaces ?? []).filter((w) => w.org === org.value.id))

async function load(): Promise<Session | null> {
  if (known.value) return session.value
  try {
    take(await get<Session>('/session'))
  } catch (error) {
    if ((error as { problem?: { status: number } }).problem?.status !== 401) throw error
    session.value = null
  }
  known.value = true
  return session.value
}
function take(next: Session): Session {
  session.value = { ...next, organizations: (next.organizations ?? []).map((o) => ({ ...o, groups: o.groups ?? [] })), workspaces: next.workspaces ?? [] }
  known.value = true
  return session.value
}
function choose(id: string) {
  chosen.value = id
  try { localStorage.setItem(key, id) } catch { /* private mode: it lasts for this visit */ }
}
const signIn = async (email: string, password: string) => take(await post<Session>('/session', { email, password }))
const giveCode = async (code: string) => take(await post<Session>('/session/code', { code }))
const recover = async (code: string) => take(await post<Session>('/session/recovery', { code }))
const stepUp = async (code: string) => take(await post<Session>('/session/step-up', { code }))
const confirmTotp = async (code: string) => take(await post<Session>('/session/totp/confirm', { code }))
function forget() {
  session.value = null
  known.value = true
}
async function signOut() {
  await remove('/session')
  forget()
}

/** Who is signed in, and for which organization. One for the whole portal. */
export function useSession() {
  return {
    session, org, inside, load, take, choose, signIn, giveCode, recover, stepUp, confirmTotp, signOut, forget,
    signedIn: computed(() => !!session.value && !session.value.needs),
    /** Whether the person manages or administers a branch of this organization; the server decides, this only tidies the page. */
    manages: computed(() => org.value.groups.some((g) => /admins|managers/.test(g))),
  }
}
