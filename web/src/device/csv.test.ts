import { expect, it } from 'vitest'
import { readDevices } from './csv'

it('takes the columns in their order without a heading', () => {
  expect(readDevices('QN-1, Logger 1, LevelLogger 2, WP-00012-45')).toEqual([{ line: 1, serial: 'QN-1', name: 'Logger 1', model: 'LevelLogger 2', site: 'WP-00012-45' }])
})
it('lets a heading name the columns, pasted from a spreadsheet', () => {
  expect(readDevices('Site code\tSerial\nWP-1\tQN-1\n\nWP-2\tQN-2\n').map((r) => [r.line, r.serial, r.site])).toEqual([[2, 'QN-1', 'WP-1'], [4, 'QN-2', 'WP-2']])
})
it('reads quoted cells', () => expect(readDevices('QN-1,"Logger ""A"", upper",M')[0]!.name).toBe('Logger "A", upper'))
it.each([
  ['a missing serial', ',Logger', 'has no serial number'],
  ['a serial that comes again', 'QN-1\nqn-1', 'repeats the serial number of line 1'],
])('names %s', (_, text, want) => expect(readDevices(text).at(-1)!.problem).toBe(want))
it('forgives a byte order mark', () => expect(readDevices('\uFEFFserial,name\nQN-1,A')[0]!.serial).toBe('QN-1'))
