import { expect, it } from 'vitest'
import { readable } from './differences'

it('takes what came as a whole apart', () => {
  expect(readable([{ path: '/answers', new: { ph: 6.8, pump: [{ qty: 1 }, { qty: 2 }], where: { lat: 1, lon: 2 }, tags: ['a', 'b'] } }])).toEqual([
    { path: '/answers/ph', old: undefined, new: 6.8 },
    { path: '/answers/pump/0/qty', old: undefined, new: 1 },
    { path: '/answers/pump/1/qty', old: undefined, new: 2 },
    { path: '/answers/where', old: undefined, new: { lat: 1, lon: 2 } },
    { path: '/answers/tags', old: undefined, new: ['a', 'b'] },
  ])
})
it('shows only what differs inside', () => expect(readable([{ path: '/x', old: [{ a: 1, b: 2 }], new: [{ a: 1, b: 3 }] }])).toEqual([{ path: '/x/0/b', old: 2, new: 3 }]))
it('leaves out hashes of secrets', () => expect(readable([{ path: '/claim', new: { hash: 'f00', tries: 0 } }, { path: '/token_hash', new: 'x' }, { path: '/hash', new: 'x' }, { path: '/recovery/0', new: 'x' }]).map((d) => d.path)).toEqual(['/claim/tries']))
it('says ids by name', () => expect(readable([{ path: '/branch', old: 'b1', new: ['b1', 'b2'] }], (id) => ({ b1: 'Upland' })[id])).toEqual([{ path: '/branch', old: 'Upland', new: ['Upland', 'b2'] }]))
it('keeps a change of kind whole', () => expect(readable([{ path: '/x', old: 'text', new: { a: 1 } }])).toEqual([{ path: '/x', old: 'text', new: { a: 1 } }]))
it('says what was removed, and bears no differences at all', () => {
  expect(readable([{ path: '/stages/0', old: { name: 'Supervisor' } }])).toEqual([{ path: '/stages/0/name', old: 'Supervisor', new: undefined }])
  expect(readable(null)).toEqual([])
})
