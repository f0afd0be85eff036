import { computed } from 'vue'
import { useRoute, useRouter, type RouteLocationRaw } from 'vue-router'

/** Text of a `datetime-local` input, in the reader's own time. */
export function local(at: number): string {
  const d = new Date(at)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}`
}

const day = 86_400_000
/** Moments that people ask for. */
export const choices = [
  { label: 'Yesterday, at this time', back: day },
  { label: 'A week ago', back: 7 * day },
  { label: 'A month ago', back: 30 * day },
]

/** The moment that a page shows stands in its address, so that links and Back keep it. */
export function useMoment() {
  const route = useRoute()
  const router = useRouter()
  const at = computed(() => (typeof route.query.at === 'string' && !Number.isNaN(Date.parse(route.query.at)) ? route.query.at : ''))
  function set(to: number | undefined) {
    const query = { ...route.query }
    delete query.at
    if (to !== undefined) query.at = new Date(Math.min(to, Date.now())).toISOString().replace(/\.\d+Z$/, 'Z')
    void router.replace({ query })
  }
  /** A path, or a named place, with the moment kept. */
  const keep = (to: string | { name: string; params?: Record<string, string>; query?: Record<string, string> }): RouteLocationRaw => {
    if (!at.value) return to
    return typeof to === 'string' ? { path: to, query: { at: at.value } } : { ...to, query: { ...to.query, at: at.value } }
  }
  return { at, set, keep }
}
