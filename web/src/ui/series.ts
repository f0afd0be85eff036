import type { Series } from './types'

/** Series with times of their own as the one table uPlot wants: ascending times, a column per series, null where it is silent. */
export function merge(series: Series[]): [number[], ...(number | null)[][]] {
  if (series.length === 1) return [series[0]!.ts, series[0]!.values]
  const times = [...new Set(series.flatMap((s) => s.ts))].sort((a, b) => a - b)
  const row = new Map(times.map((t, i) => [t, i]))
  return [times, ...series.map((s) => {
    const column: (number | null)[] = new Array(times.length).fill(null)
    s.ts.forEach((t, i) => { column[row.get(t)!] = s.values[i] ?? null })
    return column
  })]
}

/** The old readings with the new ones after them; a time that comes again takes the new value. */
export function append(old: Series, more: Series, keep = 5000): Series {
  const first = more.ts[0]
  let cut = old.ts.length
  if (first !== undefined) while (cut > 0 && old.ts[cut - 1]! >= first) cut--
  const from = Math.max(0, cut + more.ts.length - keep)
  return { ...old, ts: [...old.ts.slice(from, cut), ...more.ts], values: [...old.values.slice(from, cut), ...more.values] }
}

/** Words at the ticks of an axis of time: as fine as the step needs, the day where it begins. */
export function tickWords(ticks: number[], step: number, locale?: string): string[] {
  const day = 86_400_000
  const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, options)
  const date = format({ day: 'numeric', month: 'short' })
  if (step >= 300 * day) return ticks.map((t) => format({ year: 'numeric' }).format(t))
  if (step >= 27 * day) return ticks.map((t) => format({ month: 'short', year: 'numeric' }).format(t))
  if (step >= day) return ticks.map((t) => date.format(t))
  const time = format({ hour: '2-digit', minute: '2-digit', ...(step < 60_000 && { second: '2-digit' }), hourCycle: 'h23' })
  let before = ''
  return ticks.map((t) => {
    const today = date.format(t)
    const fresh = today !== before
    before = today
    return fresh ? `${time.format(t)}\n${today}` : time.format(t)
  })
}
