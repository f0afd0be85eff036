import type { Difference } from './types'

/** A JSON value as a person reads it. */
export function show(value: unknown): string {
  if (value === undefined || value === null || value === '') return '–'
  if (typeof value === 'boolean') return value ? 'Yes' : 'No'
  if (typeof value === 'number') return Number.isInteger(value) ? value.toLocaleString(undefined, { useGrouping: 'min2' }) : value.toLocaleString(undefined, { maximumFractionDigits: 6 })
  if (Array.isArray(value)) return value.length ? value.map(show).join(', ') : '–'
  if (typeof value === 'object') {
    const o = value as Record<string, unknown>
    if (typeof o.lat === 'number' && typeof o.lon === 'number') return `${o.lat.toFixed(5)}, ${o.lon.toFixed(5)}`
    if (typeof o.name === 'string') return o.name
    return JSON.stringify(value)
  }
  return String(value)
}

/** The server's messages come without a full stop, those about places without a capital; on a page they are sentences. */
export function sentence(text: string | undefined): string {
  const clean = (text?.trim() ?? '').replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase())
  return !clean || /[.!?…:”"]$/.test(clean) ? clean : `${clean}.`
}

/** "/properties/pump_type" as "Properties › pump type". */
export function placeName(pointer: string): string {
  const parts = pointer.split('/').filter(Boolean).map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~').replaceAll('_', ' '))
  if (!parts.length) return 'Everything'
  parts[0] = parts[0]!.charAt(0).toUpperCase() + parts[0]!.slice(1)
  return parts.join(' › ')
}

const nothing = (value: unknown) => value === undefined || value === null || value === ''
const plain = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
const place = (value: unknown) => plain(value) && 'lat' in value && 'lon' in value

/** Differences as people read them: an object that came or went as a whole is told place by place, and nothing-to-nothing is left out. */
export function told(differences: Difference[]): Difference[] {
  return differences.flatMap((d) => {
    if (nothing(d.old) && nothing(d.new)) return []
    const whole = (plain(d.new) && nothing(d.old)) || (plain(d.old) && nothing(d.new)) || (plain(d.old) && plain(d.new))
    if (!whole || place(d.new) || place(d.old)) return [d]
    const [old, now] = [plain(d.old) ? d.old : {}, plain(d.new) ? d.new : {}]
    return told([...new Set([...Object.keys(old), ...Object.keys(now)])].filter((k) => JSON.stringify(old[k]) !== JSON.stringify(now[k])).map((k) => ({ path: `${d.path}/${k.replaceAll('~', '~0').replaceAll('/', '~1')}`, old: old[k], new: now[k] })))
  })
}
