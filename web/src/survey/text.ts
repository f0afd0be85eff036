import type { Choice, FieldType, FormField, Schema, Text } from './types'

/** The text in a language, else in the default one, else without a language, else any. */
export function inLanguage(text: Text | undefined, language: string, fallback = ''): string {
  if (!text) return ''
  for (const key of [language, fallback, '']) if (text[key] !== undefined) return text[key]
  const first = Object.keys(text).sort()[0]
  return first === undefined ? '' : text[first]!
}

/** Labels may hold Markdown; they are shown as plain words. */
export const plain = (text: string) => text.replace(/^\s*#+\s*/gm, '').replace(/(\*\*|__)(.+?)\1/g, '$2').replace(/(^|\W)[*_](\S.*?)[*_](?=\W|$)/g, '$1$2').trim()

export const choicesOf = (schema: Schema, field: FormField): Choice[] => (field.choices?.length ? field.choices : field.list ? (schema.lists?.[field.list] ?? []) : [])

export function labelOf(field: FormField, language: string, fallback = ''): string {
  return plain(inLanguage(field.label, language, fallback)) || field.name.replaceAll('_', ' ')
}

const words: Record<FieldType, string> = {
  group: 'Group', repeat: 'Repeat', string: 'Text', int: 'Whole number', decimal: 'Number', boolean: 'Yes or no', date: 'Date', time: 'Time', dateTime: 'Date and time',
  geopoint: 'Position', geotrace: 'Line', geoshape: 'Area', select: 'One of', selectMultiple: 'Several of', rank: 'Ranking of', binary: 'File', barcode: 'Barcode', trigger: 'Acknowledge',
}
export function typeWord(field: FormField): string {
  if (field.type === 'binary') return field.appearance?.includes('signature') ? 'Signature' : field.media_type?.startsWith('image') ? 'Photo' : field.media_type?.startsWith('audio') ? 'Sound' : field.media_type?.startsWith('video') ? 'Video' : 'File'
  if (field.type === 'string' && field.readonly && !field.calculate && !field.hidden) return 'Note'
  return words[field.type] ?? field.type
}

/** How many questions a form asks: notes, groups and hidden values do not count. */
export function questions(fields: FormField[]): number {
  return fields.reduce((n, f) => n + (f.fields ? questions(f.fields) : f.hidden || typeWord(f) === 'Note' ? 0 : 1), 0)
}

/** The label of every place a change can name, as JSON pointers into the document's answers. */
export function placeLabels(schema: Schema | undefined, language: string): Record<string, string> {
  const out: Record<string, string> = {}
  const walk = (fields: FormField[], above: string, words: string) => {
    for (const f of fields) {
      const label = words + labelOf(f, language, schema?.default_language)
      out[`${above}/${f.name}`] = label
      if (f.type === 'repeat') for (let i = 0; i < 20; i++) {
        out[`${above}/${f.name}/${i}`] = `${label} ${i + 1}`
        walk(f.fields ?? [], `${above}/${f.name}/${i}`, `${label} ${i + 1} › `)
      }
      else if (f.fields) walk(f.fields, `${above}/${f.name}`, `${label} › `)
    }
  }
  if (schema) walk(schema.fields, '/answers', '')
  return out
}
