import { describe, expect, it } from 'vitest'
import { inLanguage, placeLabels, plain, questions, typeWord } from './text'
import type { FormField, Schema } from './types'

describe('inLanguage', () => {
  const text = { en: 'Region', fr: 'Région' }
  it.each([
    ['the language asked for', text, 'fr', 'en', 'Région'],
    ['the default where it is missing', text, 'ny', 'en', 'Region'],
    ['text without a language', { '': 'As painted' }, 'fr', 'en', 'As painted'],
    ['any, rather than none', { fr: 'Forage' }, 'en', 'ny', 'Forage'],
    ['nothing for nothing', undefined, 'en', '', ''],
  ])('gives %s', (_, given, language, fallback, want) => expect(inLanguage(given as never, language, fallback)).toBe(want))
})

it('shows Markdown as words', () => {
  expect(plain('# Water point visit')).toBe('Water point visit')
  expect(plain('pH acceptable: **{ /data/ph_ok }**')).toBe('pH acceptable: { /data/ph_ok }')
  expect(plain('snake_case_name')).toBe('snake_case_name')
})

const field = (name: string, type: FormField['type'], more: Partial<FormField> = {}): FormField => ({ path: `/data/${name}`, name, type, ...more })
it('counts what is asked, not what is noted or hidden', () => {
  expect(questions([field('intro', 'string', { readonly: 'true()' }), field('start', 'dateTime', { hidden: true }), field('tests', 'group', { fields: [field('ph', 'decimal'), field('photo', 'binary')] })])).toBe(2)
})
it('names files by what they hold', () => {
  expect(typeWord(field('p', 'binary', { media_type: 'image/*' }))).toBe('Photo')
  expect(typeWord(field('s', 'binary', { media_type: 'image/*', appearance: 'signature' }))).toBe('Signature')
})
it('labels places inside repeats', () => {
  const schema = { id: 'x', version: '1', title: 'x', root: 'data', fields: [field('pump', 'repeat', { label: { '': 'Part' }, fields: [field('qty', 'int', { label: { '': 'Quantity' } })] })] } as Schema
  expect(placeLabels(schema, 'en')['/answers/pump/1/qty']).toBe('Part 2 › Quantity')
})
