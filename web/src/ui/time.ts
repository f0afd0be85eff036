import { readonly, ref } from 'vue'

const current = ref(Date.now())
if (typeof window !== 'undefined') setInterval(() => { if (!document.hidden) current.value = Date.now() }, 10_000)
/** The present, ticking every ten seconds: enough for "3 minutes ago". */
export const now = readonly(current)

const steps: [Intl.RelativeTimeFormatUnit, number][] = [['year', 31_557_600], ['month', 2_629_800], ['week', 604_800], ['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]]

/** "3 minutes ago", "in 2 days"; "now" within five seconds. */
export function relative(at: number, from: number, locale?: string): string {
  const format = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  const seconds = (at - from) / 1000
  if (Math.abs(seconds) < 5) return format.format(0, 'second')
  const [unit, size] = steps.find(([, s]) => Math.abs(seconds) >= s) ?? steps[steps.length - 1]!
  return format.format(Math.trunc(seconds / size), unit)
}

export function absolute(at: number, style: 'short' | 'long' = 'short', locale?: string): string {
  return new Intl.DateTimeFormat(locale, style === 'long' ? { dateStyle: 'full', timeStyle: 'long' } : { dateStyle: 'medium', timeStyle: 'short' }).format(at)
}

/** Times come as RFC 3339 text or as Unix milliseconds. */
export function instant(value: string | number | undefined | null): number | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const at = typeof value === 'number' ? value : Date.parse(value)
  return Number.isNaN(at) || at < -62_135_596_700_000 ? undefined : at
}
