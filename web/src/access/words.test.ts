import { describe, expect, it } from 'vitest'
import { listed, visibly } from './words'

describe('words of rights', () => {
  it('puts an and before the last', () => {
    expect(['', 'see', 'see and edit', 'see, edit and delete']).toEqual([[], ['see'], ['see', 'edit'], ['see', 'edit', 'delete']].map(listed))
  })
  it('says what becomes visible', () => {
    expect(visibly({ kind: 'site', before: 3, after: 15 })).toBe('12 sites become visible')
    expect(visibly({ kind: 'response', before: 3, after: 0 })).toBe('3 responses vanish')
    expect(visibly({ kind: 'response', before: 3, after: 3 })).toBe('')
    expect(visibly({ kind: 'survey', before: 1, after: 0 })).toBe('1 survey vanishes')
    expect(visibly({ kind: 'site', before: 0, after: 1 })).toBe('1 site becomes visible')
    expect(visibly({ kind: 'site', before: 0, after: 1, more: true })).toBe('more than 1 sites become visible')
  })
})
