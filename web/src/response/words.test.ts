import { expect, it } from 'vitest'
import type { Revision } from '@/api'
import { repeated, step } from './words'

const revision = (differences: Revision['differences'], verb = 'update') => ({ entry: { verb }, differences }) as Revision
it.each([
  ['a rejection', [{ path: '/approvals/0', old: {} }, { path: '/state', old: 'pending', new: 'rejected' }], 'rejected this'],
  ['an approval on the way', [{ path: '/approvals', new: [{}] }], 'approved this'],
  ['the last approval', [{ path: '/approvals/1', new: {} }, { path: '/state', old: 'pending', new: 'final' }], 'approved this as final'],
  ['sending in', [{ path: '/state', old: 'draft', new: 'pending' }], 'sent this in'],
  ['sending in again', [{ path: '/rejection', old: {} }, { path: '/state', old: 'rejected', new: 'final' }], 'sent this in'],
  ['a recall', [{ path: '/state', old: 'pending', new: 'draft' }], 'recalled this'],
  ['an edit', [{ path: '/answers/ph', old: 1, new: 2 }], undefined],
])('names %s', (_, differences, want) => expect(step(revision(differences))).toBe(want))
it('leaves making and undoing to their own words', () => expect(step(revision([{ path: '/state', new: 'final' }], 'create'))).toBeUndefined())
it('keeps the reason of a rejection', () => expect([repeated.test('/rejection/reason'), repeated.test('/rejection/by'), repeated.test('/approvals/0/stage')]).toEqual([false, true, false]))
