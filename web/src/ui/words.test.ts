import { describe, expect, it } from 'vitest'
import { at, ProblemError, toProblem } from './problem'
import { placeName, sentence, show, told } from './show'
import { absolute, instant, relative } from './time'

describe('show', () => {
  it.each([[undefined, '–'], ['', '–'], [true, 'Yes'], [false, 'No'], [0, '0'], [{ lat: -15.5, lon: 35.25 }, '-15.50000, 35.25000'], [['a', 'b'], 'a, b'], [{ name: 'pump.jpg', blob: 'x' }, 'pump.jpg'], [{ a: 1 }, '{"a":1}']])('%j as %s', (value, text) => expect(show(value)).toBe(text))
})
describe('placeName', () => {
  it.each([['/properties/pump_type', 'Properties › pump type'], ['/name', 'Name'], ['', 'Everything'], ['/a~1b/c~0d', 'A/b › c~d']])('%s as %s', (path, text) => expect(placeName(path)).toBe(text))
})
describe('told', () => {
  it('tells what came as a whole place by place', () => expect(told([{ path: '/properties', new: { depth: 12, 'a/b': 'x' } }])).toEqual([{ path: '/properties/depth', old: undefined, new: 12 }, { path: '/properties/a~1b', old: undefined, new: 'x' }]))
  it('keeps a location whole', () => expect(told([{ path: '/location', new: { lat: 1, lon: 2 } }])).toHaveLength(1))
  it('leaves nothing-to-nothing out', () => expect(told([{ path: '/name', new: '' }])).toEqual([]))
  it('keeps plain changes', () => expect(told([{ path: '/status', old: 'partly', new: 'functional' }])).toHaveLength(1))
})
describe('sentence', () => {
  it.each([['Sign in', 'Sign in.'], ['Really?', 'Really?'], ['Done.', 'Done.'], ['no record there', 'No record there.'], ['person:<id> or token:<id>', 'person:<id> or token:<id>.'], [undefined, '']])('%s', (a, b) => expect(sentence(a)).toBe(b))
})
describe('time', () => {
  const t = Date.UTC(2026, 5, 1, 12)
  it.each([[t - 2000, 'now'], [t - 90_000, '1 minute ago'], [t - 7_200_000, '2 hours ago'], [t + 86_400_000 * 2, 'in 2 days'], [t - 86_400_000 * 800, '2 years ago']])('%d is %s', (at, text) => expect(relative(at, t, 'en')).toBe(text))
  it('takes text, numbers and nothing', () => { expect(instant('2026-06-01T12:00:00Z')).toBe(t); expect(instant(t)).toBe(t); expect(instant('')).toBeUndefined(); expect(instant('soon')).toBeUndefined(); expect(instant('0001-01-01T00:00:00Z')).toBeUndefined() })
  it('writes a day', () => expect(absolute(t, 'short', 'en')).toContain('2026'))
})
describe('problem', () => {
  it('keeps what the server said', () => expect(toProblem(new ProblemError({ status: 409, detail: 'Changed since.' })).detail).toBe('Changed since.'))
  it('has words for a status alone', () => expect(toProblem({ status: 403 }).detail).toMatch(/may not/))
  it('calls a network failure by its name', () => expect(toProblem(new TypeError('Failed to fetch')).status).toBe(0))
  it.each(['/name', '/body/name', '/body/body/name', 'body.body.name', 'body.name'])('finds the field by %s', (place) => expect(at({ status: 422, detail: '', errors: [{ place, message: 'needed' }] }, '/name')?.message).toBe('needed'))
})
