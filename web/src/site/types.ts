import { computed } from 'vue'
import { get, useQuery, type OrganizationView, type Page, type SiteType } from '@/api'
import { useSession } from '@/session/session'

const { org, inside } = useSession()

/** The site types of the organization; the answer may be a list or a page. */
export function useSiteTypes() {
  const query = useQuery((s) => get<SiteType[] | Page<SiteType>>('/site-types', { org: org.value.id }, s), [() => org.value.id])
  const all = computed(() => (Array.isArray(query.data.value) ? query.data.value : (query.data.value?.items ?? [])).map((t) => ({ ...t, properties: t.properties ?? [] })))
  // Who is in a workspace chooses among its types only.
  const types = computed(() => (inside.value.length ? all.value.filter((t) => inside.value.some((w) => w.site_types?.includes(t.key))) : all.value))
  const named = computed(() => new Map(all.value.map((t) => [t.key, t])))
  return { types, named, loading: query.loading, error: query.error }
}

/** The branches of the organization as options, children below their parents. */
export function useBranches() {
  const query = useQuery((s) => get<OrganizationView>(`/organizations/${org.value.id}`, {}, s), [() => org.value.id])
  const branches = computed(() => query.data.value?.branches ?? [])
  const options = computed(() => {
    const rows = [{ value: org.value.id, label: org.value.name }]
    const walk = (parent: string, depth: number) => {
      for (const b of branches.value.filter((b) => b.body.parent === parent).sort((a, b) => a.body.name.localeCompare(b.body.name))) {
        rows.push({ value: b.id, label: `${'\u2003'.repeat(depth)}${b.body.name}` })
        if (depth < 12) walk(b.id, depth + 1)
      }
    }
    walk(org.value.id, 1)
    return rows
  })
  const name = (id: string) => branches.value.find((b) => b.id === id)?.body.name ?? (id === org.value.id ? org.value.name : '')
  return { options, name }
}

export const statusOptions = [
  { value: 'functional', label: 'Functional' },
  { value: 'partly', label: 'Partly functional' },
  { value: 'not_functional', label: 'Not functional' },
  { value: 'unknown', label: 'Unknown' },
]
export const privacyOptions = [
  { value: 'public', label: 'Public – everyone may see it' },
  { value: 'protected', label: 'Protected – everyone sees that it is there' },
  { value: 'private', label: 'Private – only those it is shared with' },
]
