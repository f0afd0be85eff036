import { expect, test } from 'vitest'
import { bytes } from './types'

test('sizes are said in the unit that fits', () => {
  expect(bytes(0)).toBe('0 B')
  expect(bytes(1023)).toBe('1,023 B')
  expect(bytes(1536)).toBe('1.5 KiB')
  expect(bytes(68_000_000_000)).toBe('63 GiB')
})
