import type { components } from '@/api/schema'

type Schemas = components['schemas']
/** The server's description says "array or null" of every list; within a page it is a list. */
type Sure<T> = T extends null ? never : T extends (infer U)[] ? Sure<U>[] : T extends object ? { [K in keyof T]: Sure<T[K]> } : T

export type Chain = Sure<Schemas['AccessChain']>
export type Explanation = Sure<Schemas['AccessExplanation']>
export type Audience = Sure<Schemas['AccessAudience']>
export type Effect = Sure<Schemas['AccessEffect']>
export type Gain = Sure<Schemas['AccessGain']>
export type Rights = Sure<Schemas['RightsOfKind']>
export type GrantLine = Sure<Schemas['GrantLine']>
export type Found = Sure<Schemas['OrgFound']>
export type Collaborations = Sure<Schemas['OrgCollaborations']>
export type Collaboration = Sure<Schemas['OrgCollaboration']>
