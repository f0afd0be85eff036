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
