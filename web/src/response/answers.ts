import type { Geo } from '@/api'
import { choicesOf, inLanguage, plain } from '@/survey/text'
import type { FormField, Schema } from '@/survey/types'
import { show } from '@/ui'
import type { Answer, Answers } from './types'

export const isEmpty = (value: Answer | undefined): boolean =>
  value === undefined || value === null || value === '' || (Array.isArray(value) ? !value.length : typeof value === 'object' && Object.values(value).every((v) => isEmpty(v as Answer)))

const dates: Record<string, Intl.DateTimeFormatOptions> = { date: { dateStyle: 'long' }, dateTime: { dateStyle: 'long', timeStyle: 'short' } }

/** An answer in words: choices by their labels, dates as people write them. What does not fit its type stays as it was sent. */
export function answerText(value: Answer | undefined, field: FormField, schema: Schema, language: string): string {
  if (isEmpty(value)) return ''
  const choice = (v: string) => {
    const found = choicesOf(schema, field).find((c) => c.value === v)
    return (found && plain(inLanguage(found.label, language, schema.default_language))) || v
  }
  if (field.type === 'select') return choice(String(value))
  if ((field.type === 'selectMultiple' || field.type === 'rank') && Array.isArray(value)) return (value as string[]).map(choice).join(field.type === 'rank' ? ' › ' : ', ')
  if (field.type === 'date' && typeof value === 'string' && /^\d{4}-\d\d-\d\d/.test(value)) return new Intl.DateTimeFormat(undefined, { ...dates.date, timeZone: 'UTC' }).format(Date.parse(`${value.slice(0, 10)}T00:00:00Z`))
  if (field.type === 'dateTime' && typeof value === 'string' && !Number.isNaN(Date.parse(value))) return new Intl.DateTimeFormat(undefined, dates.dateTime).format(Date.parse(value))
  if (field.type === 'time' && typeof value === 'string') return value.replace(/^(\d\d:\d\d)(:00(\.0+)?)?(?=$|[Z+-])/, '$1')
  if (field.type === 'geotrace' || field.type === 'geoshape') return Array.isArray(value) ? `${value.length} positions, ${metres(value as Geo[])}` : show(value)
  if (field.type === 'geopoint' && typeof value === 'object') {
    const p = value as Geo & { altitude?: number }
    return [`${p.lat?.toFixed(5)}, ${p.lon?.toFixed(5)}`, p.altitude !== undefined && `${Math.round(p.altitude)} m above the sea`, p.accuracy !== undefined && `±\u00a0${p.accuracy}\u00a0m`].filter(Boolean).join(' · ')
  }
  return show(value)
}

/** Length of a line on the ground, in words. */
export function metres(line: Geo[]): string {
  const rad = Math.PI / 180
  let sum = 0
  for (let i = 1; i < line.length; i++) {
    const [a, b] = [line[i - 1]!, line[i]!]
    const h = Math.sin(((b.lat - a.lat) * rad) / 2) ** 2 + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(((b.lon - a.lon) * rad) / 2) ** 2
    sum += 2 * 6_371_008.8 * Math.asin(Math.sqrt(h))
  }
  return sum < 10_000 ? `${Math.round(sum).toLocaleString()} m` : `${(sum / 1000).toLocaleString(undefined, { maximumFractionDigits: 1 })} km`
}

const simple = ['string', 'int', 'decimal', 'boolean', 'date', 'time', 'dateTime', 'select', 'selectMultiple', 'barcode']
/** Whether the portal offers to edit this answer: no files, no lines, nothing that the form works out. */
export const editable = (field: FormField) => simple.includes(field.type) && !field.calculate && !field.hidden && !field.preload && field.readonly !== 'true()'

/** Which answers the form does not know: kept, and shown as they are. */
export const unknown = (answers: Answers, fields: FormField[]) => Object.keys(answers).filter((name) => !fields.some((f) => f.name === name))

/** The answers without those that were emptied, as the server keeps them. */
export function tidy(answers: Answers): Answers {
  const out: Answers = {}
  for (const [name, value] of Object.entries(answers)) {
    if (value === undefined || value === null || value === '' || (Array.isArray(value) && !value.length)) continue
    if (Array.isArray(value)) out[name] = value.map((v) => (typeof v === 'object' && v !== null && !('lat' in v) ? tidy(v as Answers) : v)) as Answer
    else out[name] = typeof value === 'object' && !('lat' in value) ? tidy(value as Answers) : value
  }
  return out
}
