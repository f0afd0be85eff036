import { describe, expect, it } from 'vitest'
import { append, merge, tickWords } from './series'

const s = (key: string, ts: number[], values: number[]) => ({ key, name: key, ts, values })

describe('merge', () => {
  it('gives one column per series, null where it is silent', () => expect(merge([s('a', [1, 3], [10, 30]), s('b', [2, 3], [20, 31])])).toEqual([[1, 2, 3], [10, null, 30], [null, 20, 31]]))
  it('passes a single series through', () => { const one = s('a', [1], [2]); expect(merge([one])[0]).toBe(one.ts) })
})
describe('append', () => {
  it('adds what is newer', () => expect(append(s('a', [1, 2], [1, 2]), s('a', [3], [3])).ts).toEqual([1, 2, 3]))
  it('takes the new value of a time that comes again', () => expect(append(s('a', [1, 2, 3], [1, 2, 3]), s('a', [2, 4], [9, 4])).values).toEqual([1, 9, 4]))
  it('keeps no more than it should', () => expect(append(s('a', [1, 2, 3], [1, 2, 3]), s('a', [4], [4]), 2).ts).toEqual([3, 4]))
  it('keeps everything when nothing comes', () => expect(append(s('a', [1, 2], [1, 2]), s('a', [], [])).ts).toEqual([1, 2]))
})
describe('tickWords', () => {
  it('names the day once', () => {
    const words = tickWords([Date.UTC(2026, 0, 1, 10), Date.UTC(2026, 0, 1, 11)], 3_600_000, 'en')
    expect(words[0]).toContain('\n')
    expect(words[1]).not.toContain('\n')
  })
  it('names years over years', () => expect(tickWords([Date.UTC(2024, 6, 1)], 366 * 86_400_000, 'en')).toEqual(['2024']))
})
