import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'

export const keys = ['q', 'type', 'status', 'branch', 'sort', 'view', 'at'] as const
export type Filters = Record<(typeof keys)[number], string>

/** The filters of the list of sites live in the address, so that a view can be sent to somebody, and Back works. */
export function useFilters() {
  const route = useRoute()
  const router = useRouter()
  const filters = computed(() => Object.fromEntries(keys.map((k) => [k, typeof route.query[k] === 'string' ? route.query[k] : ''])) as Filters)
  function set(change: Partial<Filters>) {
    const query = { ...filters.value, ...change }
    void router.replace({ query: Object.fromEntries(Object.entries(query).filter(([, v]) => v)) })
  }
  return { filters, set, active: computed(() => ['q', 'type', 'status', 'branch'].filter((k) => filters.value[k as keyof Filters]).length) }
}
