import type { Difference } from '@/ui'

// What says nothing to a reader: hashes of secrets, and where bytes are kept.
const silent = /\/(hash|recovery|token|token_hash|blob|xml|sha256|schema)(\/|$)/
const limit = 400

const isPlain = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value) && !('lat' in value && 'lon' in value)
const hasPlain = (value: unknown): value is unknown[] => Array.isArray(value) && value.some(isPlain)
const escape = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1')

function children(value: unknown): [string, unknown][] | undefined {
  if (isPlain(value)) return Object.entries(value)
  if (hasPlain(value)) return value.map((v, i) => [String(i), v])
  return undefined
}

/**
 * Differences as a reader wants them: what came or went as a whole is taken apart into its leaves, ids are
 * said by name where `name` knows one, and secrets' hashes are left out. At most 400 places.
 */
export function readable(differences: Difference[] | null | undefined, name: (id: string) => string | undefined = () => undefined): Difference[] {
  const out: Difference[] = []
  const say = (value: unknown): unknown => (typeof value === 'string' ? (name(value) ?? value) : Array.isArray(value) ? value.map(say) : value)
  function add(d: Difference) {
    if (out.length >= limit || silent.test(d.path)) return
    const [was, is] = [children(d.old), children(d.new)]
    if ((was || d.old === undefined || d.old === null) && (is || d.new === undefined || d.new === null) && (was || is)) {
      const [before, after] = [new Map(was), new Map(is)]
      for (const key of new Set([...before.keys(), ...after.keys()])) {
        const [old, now] = [before.get(key), after.get(key)]
        if (JSON.stringify(old) !== JSON.stringify(now)) add({ path: `${d.path}/${escape(key)}`, old, new: now })
      }
      return
    }
    out.push({ path: d.path, old: say(d.old), new: say(d.new) })
  }
  for (const d of differences ?? []) add(d)
  return out
}
