import { onScopeDispose, ref, shallowRef, watch, type Ref, type ShallowRef, type WatchSource } from 'vue'
import type { Page } from './types'

export interface Query<T> {
  data: ShallowRef<T | undefined>
  error: ShallowRef<unknown>
  /** True from the start until the first answer, and while what it asks for has changed. */
  loading: Ref<boolean>
  refresh: () => Promise<void>
}

/**
 * Asks at once, again whenever a source changes, and every `every` milliseconds while the page is visible.
 * Late answers to an earlier question are dropped; data stays while it is refreshed.
 */
export function useQuery<T>(ask: (signal: AbortSignal) => Promise<T>, sources: WatchSource[] = [], options: { every?: number; when?: () => boolean } = {}): Query<T> {
  const data = shallowRef<T>()
  const error = shallowRef<unknown>()
  const loading = ref(true)
  let turn = 0
  let abort: AbortController | undefined

  async function run(quiet = false) {
    if (options.when && !options.when()) { loading.value = false; return }
    const mine = ++turn
    abort?.abort()
    abort = new AbortController()
    if (!quiet) loading.value = true
    try {
      const answer = await ask(abort.signal)
      if (mine !== turn) return
      data.value = answer
      error.value = undefined
    } catch (problem) {
      if (mine !== turn) return
      if (!quiet || !data.value) error.value = problem
    } finally {
      if (mine === turn) loading.value = false
    }
  }
  if (sources.length) watch(sources, () => void run())
  if (options.every) {
    const timer = setInterval(() => { if (!document.hidden) void run(true) }, options.every)
    onScopeDispose(() => clearInterval(timer))
  }
  onScopeDispose(() => { turn++; abort?.abort() })
  void run()
  return { data, error, loading, refresh: () => run() }
}

/** A list with a cursor: the first page again when a source changes, `more()` for the next. */
export function useList<T>(ask: (cursor: string, signal: AbortSignal) => Promise<Page<T>>, sources: WatchSource[] = []) {
  const items = shallowRef<T[]>([])
  const next = ref('')
  const total = ref<number>()
  const busy = ref(false)
  const first = useQuery((signal) => ask('', signal), sources)
  watch(first.data, (page) => {
    if (!page) return
    items.value = page.items ?? []
    next.value = page.next ?? ''
    total.value = page.total
  })
  async function more() {
    if (!next.value || busy.value) return
    busy.value = true
    const asked = first.data.value
    try {
      const page = await ask(next.value, new AbortController().signal)
      if (first.data.value !== asked) return
      items.value = [...items.value, ...page.items]
      next.value = page.next ?? ''
    } finally { busy.value = false }
  }
  return { items, total, next, busy, error: first.error, loading: first.loading, refresh: first.refresh, more }
}
