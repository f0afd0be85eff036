/** A JSON value as a person reads it. */
export function show(value: unknown): string {
  if (value === undefined || value === null || value === '') return '–'
  if (typeof value === 'boolean') return value ? 'Yes' : 'No'
  if (typeof value === 'number') return Number.isInteger(value) ? value.toLocaleString() : value.toLocaleString(undefined, { maximumFractionDigits: 6 })
  if (Array.isArray(value)) return value.length ? value.map(show).join(', ') : '–'
  if (typeof value === 'object') {
    const o = value as Record<string, unknown>
    if (typeof o.lat === 'number' && typeof o.lon === 'number') return `${o.lat.toFixed(5)}, ${o.lon.toFixed(5)}`
    if (typeof o.name === 'string') return o.name
    return JSON.stringify(value)
  }
  return String(value)
}

/** The server's messages come without a full stop; on a page they are sentences. */
export function sentence(text: string | undefined): string {
  const clean = text?.trim() ?? ''
  return !clean || /[.!?…:”"]$/.test(clean) ? clean : `${clean}.`
}

/** "/properties/pump_type" as "Properties › pump type". */
export function placeName(pointer: string): string {
  const parts = pointer.split('/').filter(Boolean).map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~').replaceAll('_', ' '))
  if (!parts.length) return 'Everything'
  parts[0] = parts[0]!.charAt(0).toUpperCase() + parts[0]!.slice(1)
  return parts.join(' › ')
}
