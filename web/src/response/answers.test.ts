import { expect, it } from 'vitest'
import type { FormField, Schema } from '@/survey/types'
import { answerText, isEmpty, metres, tidy, unknown } from './answers'

const schema: Schema = { id: 'wp', version: '1', title: 'wp', root: 'data', default_language: 'en', fields: [], lists: { types: [{ value: 'tap', label: { en: 'Public tap', fr: 'Borne' } }] } }
const field = (type: FormField['type'], more: Partial<FormField> = {}): FormField => ({ path: '/data/x', name: 'x', type, ...more })

it.each([
  ['a choice by its label in the language', 'tap', field('select', { list: 'types' }), 'fr', 'Borne'],
  ['a value that is no choice as it was sent', 'well', field('select', { list: 'types' }), 'fr', 'well'],
  ['several choices', ['tap', 'well'], field('selectMultiple', { list: 'types' }), 'en', 'Public tap, well'],
  ['text where a number should be', 'one', field('int'), 'en', 'one'],
  ['a time without its empty seconds', '06:30:00', field('time'), 'en', '06:30'],
  ['a broken date as it was sent', 'last year', field('date'), 'en', 'last year'],
  ['false', false, field('boolean'), 'en', 'No'],
  ['zero', 0, field('int'), 'en', '0'],
  ['no answer', undefined, field('string'), 'en', ''],
])('shows %s', (_, value, f, language, want) => expect(answerText(value as never, f, schema, language)).toBe(want))

it('measures a line over the ground', () => expect(metres([{ lat: 0, lon: 0 }, { lat: 0, lon: 0.01 }])).toMatch(/^1\D?112 m$/))
it('knows empty from false and zero', () => expect([isEmpty(0), isEmpty(false), isEmpty(''), isEmpty({ a: '' }), isEmpty([])]).toEqual([false, false, true, true, true]))
it('drops what was emptied, deep inside too', () => expect(tidy({ a: '', b: 0, c: { d: '', e: 1 }, f: [{ g: '', h: 2 }], p: { lat: 1, lon: 2 } })).toEqual({ b: 0, c: { e: 1 }, f: [{ h: 2 }], p: { lat: 1, lon: 2 } }))
it('finds answers that the form does not know', () => expect(unknown({ x: 1, y: 2 }, [field('int')])).toEqual(['y']))
