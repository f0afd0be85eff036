import type { Doc } from '@/api'
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Facts = Schemas['ServerFacts']
export type ServerAccount = Schemas['ServerAccount']
export type ServerOrganization = Schemas['ServerOrganization']
export type Visit = Doc<Schemas['ServerBreakGlass']>

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
/** "1.2 GiB" */
export function bytes(n: number): string {
  const power = n > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(n) / 10)) : 0
  const value = n / 2 ** (10 * power)
  return `${value.toLocaleString(undefined, { maximumFractionDigits: value < 10 && power ? 1 : 0 })} ${units[power]}`
}
