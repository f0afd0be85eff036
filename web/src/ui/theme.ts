import { computed, ref, watchEffect } from 'vue'

export type Theme = 'light' | 'dark' | 'system'
const key = 'qanat-theme'
const read = (): Theme => {
  try { const t = localStorage.getItem(key); return t === 'light' || t === 'dark' ? t : 'system' } catch { return 'system' }
}
const media = typeof matchMedia === 'function' ? matchMedia('(prefers-color-scheme: dark)') : undefined
const systemDark = ref(media?.matches ?? false)
media?.addEventListener('change', (e) => (systemDark.value = e.matches))

/** What the person chose. */
export const theme = ref<Theme>(read())
/** What is shown. */
export const scheme = computed<'light' | 'dark'>(() => (theme.value === 'system' ? (systemDark.value ? 'dark' : 'light') : theme.value))

export function chooseTheme(next: Theme) {
  theme.value = next
  try { next === 'system' ? localStorage.removeItem(key) : localStorage.setItem(key, next) } catch { /* private mode: it lasts for this visit */ }
}
export function applyTheme() {
  watchEffect(() => { document.documentElement.dataset.theme = scheme.value }, { flush: 'sync' })
}

const written = () => (typeof document !== 'undefined' && document.documentElement.dir === 'rtl' ? 'rtl' : 'ltr')
/** The direction of the page's writing, for parts that have to know it (arrow keys in tabs and menus). */
export const direction = ref<'ltr' | 'rtl'>(written())
if (typeof MutationObserver !== 'undefined') new MutationObserver(() => { direction.value = written() }).observe(document.documentElement, { attributeFilter: ['dir'] })
