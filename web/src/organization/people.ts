import { computed, type Ref } from 'vue'
import { get, useQuery, type Branch, type Doc, type Page } from '@/api'
import { useSession } from '@/session/session'

export interface Membership { id: string; revision: number; branch: string; branch_path: string; group: string; group_name: string; until?: string }
export interface Member { account: { id: string; name: string; email: string }; memberships: Membership[] }
export interface Team { branch: string; name: string; full_name?: string }
/** `branches`: all but the organization itself, each after the one above it. */
export interface Structure { organization: Doc<Branch>; branches: Doc<Branch>[]; teams: Doc<Team>[] }
export interface Principal { value: string; label: string; kind: 'person' | 'team' | 'group' | 'branch' | 'everyone' }

/** The standing groups of every branch, and what each may do, in words. */
export const groups = [
  { key: 'admins', one: 'admin', label: 'Admins', hint: 'see, change and undo everything, and decide who belongs here' },
  { key: 'managers', one: 'manager', label: 'Managers', hint: 'see and change sites, devices and deployments' },
  { key: 'viewers', one: 'viewer', label: 'Viewers', hint: 'see, and change nothing' },
  { key: 'members', one: 'member', label: 'Members', hint: 'belong here; fill in what a deployment gives them' },
] as const

/** The people, branches and teams of the organization in use, now or at a moment, and the name of any principal. */
export function usePeople(at?: Ref<string>) {
  const { org } = useSession()
  const id = () => org.value.id
  const moment = () => at?.value ?? ''
  const structure = useQuery((s) => get<Structure>(`/organizations/${id()}`, { at: moment() }, s), [id, moment])
  const members = useQuery((s) => get<Page<Member>>(`/organizations/${id()}/members`, { at: moment() }, s), [id, moment])
  const branches = computed(() => (structure.data.value ? [structure.data.value.organization, ...structure.data.value.branches] : []))
  const teams = computed(() => structure.data.value?.teams ?? [])
  const people = computed(() => members.data.value?.items ?? [])

  /** "Upland › Chingale": where a branch stands, without the organization's own name except for itself. */
  function branchName(branch: string): string {
    const found = branches.value.find((b) => b.id === branch)
    if (!found) return branch === id() ? org.value.name : ''
    if (!found.body.parent || found.id === id()) return found.body.name
    const names = [...(found.body.path ?? []).slice(1).map((p) => branches.value.find((b) => b.id === p)?.body.name ?? ''), found.body.name]
    return names.filter(Boolean).join(' › ')
  }
  const personName = (account: string) => people.value.find((p) => p.account.id === account)?.account.name ?? ''
  // Whoever is chosen is named with the path, organization first: lists may hold people of several organizations.
  const full = (of: { name: string; full_name?: string }) => (of.full_name ?? of.name).replaceAll(' > ', ' › ')
  const principals = computed<Principal[]>(() => [
    ...people.value.map((p) => ({ value: `person:${p.account.id}`, label: p.account.name || p.account.email, kind: 'person' as const })),
    ...teams.value.map((t) => ({ value: `team:${t.id}`, label: `Team ${full(t.body)}`, kind: 'team' as const })),
    ...branches.value.flatMap((b) => groups.map((g) => ({ value: `group:${b.id}/${g.key}`, label: `${g.label} of ${full(b.body)}`, kind: 'group' as const }))),
    ...branches.value.map((b) => ({ value: `branch:${b.id}`, label: `Everyone in ${full(b.body)}`, kind: 'branch' as const })),
  ])
  const names = computed(() => new Map(principals.value.map((p) => [p.value, p.label])))
  const principalName = (principal: string) => names.value.get(principal) ?? (principal === 'everyone' ? 'Everyone' : `Unknown (${principal.split(':')[0]})`)
  /** The name of an account, branch, team or principal; nothing for what is none of these. */
  const nameOf = (id: string) => names.value.get(id) ?? (personName(id) || branchName(id) || teams.value.find((t) => t.id === id)?.body.name || undefined)
  const branchOptions = computed(() => branches.value.map((b) => ({ value: b.id, label: branchName(b.id) })))
  return { org, structure, members, branches, teams, people, principals, branchOptions, branchName, personName, principalName, nameOf }
}
