import { expect, it } from 'vitest'
import { deeds, saysReason, undoable, type Act, tallied } from './words'

const act = (kinds: Record<string, number>, entry: Partial<Act['entry']>, title?: string): Act => ({ act: 1, newest: 9, entries: Object.values(kinds).reduce((a, b) => a + b, 0), kinds, title, undone: false, entry: { kind: Object.keys(kinds)[0], verb: 'create', reason: '', ...entry } as Act['entry'] })
it.each([
  ['an import as one line', act({ site: 11409 }, { reason: 'import' }), 'imported 11,409 sites'],
  ['sites made at once otherwise', act({ site: 3 }, {}), 'added 3 sites'],
  ['one change with its name', act({ site: 1 }, { verb: 'update' }, 'Songani 12'), 'changed site Songani 12'],
  ['a response with its submission', act({ submission: 1, response: 1 }, {}), 'sent in a response'],
  ['a survey with its form', act({ form: 1, survey: 1 }, {}, 'Water point visit'), 'added survey Water point visit'],
  ['a sign-in by its reason', act({ credential: 1, session: 1, invitation: 1 }, { verb: 'update', reason: 'signed in with a one-time link' }), 'signed in with a one-time link'],
  ['a step of an import', act({ site_import: 1 }, { reason: 'import ended', verb: 'update' }, 'north.csv'), 'finished importing north.csv'],
  ['several kinds', act({ phone: 2, device: 1 }, {}), 'added 2 phones and 1 device'],
])('tells %s', (_, given, want) => expect(deeds(given).replace(/(\d)\D(\d{3})/, '$1,$2')).toBe(want))
it('offers no undo of sign-ins, nor of an import\'s progress', () => {
  expect([act({ session: 1 }, {}), act({ site_import: 1 }, {}), act({ site: 9 }, {})].map(undoable)).toEqual([false, false, true])
})
it('does not say a reason twice', () => expect(saysReason(act({ site: 9 }, { reason: 'import' }))).toBe(true))

it('says what was done how often', () => {
  expect(tallied({ kind: 'response', verb: 'delete', total: 2 })).toBe('2 deleted responses')
  expect(tallied({ kind: 'site', verb: 'create', total: 1 })).toBe('1 added site')
  expect(tallied({ kind: 'site', verb: 'update', total: 1 })).toBe('1 change of sites')
  expect(tallied({ kind: 'site', verb: 'undo', total: 3 })).toBe('3 undos of sites')
})
