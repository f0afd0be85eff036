import { describe, expect, it } from 'vitest'
import { local } from './moment'

describe('local', () => {
  it('writes what the input reads back', () => {
    for (const text of ['2026-03-01T08:05', '2025-12-31T23:59', '2026-01-01T00:00']) expect(local(Date.parse(text))).toBe(text)
  })
})
