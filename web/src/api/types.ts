// The shapes of the API by the names that pages use: aliases of what the server describes (openapi.json), so a change
// of the server is a type error here. Lists that are empty may come as null; pages write `?? []` where they read one.
import type { components } from './schema'

type Schemas = components['schemas']
/** The server's description says "array or null" of every list; within a page it is a list. */
type Sure<T> = T extends null ? never : T extends (infer U)[] ? Sure<U>[] : T extends object ? { [K in keyof T]: Sure<T[K]> } : T

export interface Doc<T> { id: string; org: string; revision: number; changed: string; body: T; entry?: number; may?: Record<string, boolean> }
export interface Page<T> { items: T[]; next: string; total?: number }

export type Organization = Sure<Schemas['OrgMine']>
export type Session = Sure<Schemas['Session']>
export type OpenSession = Schemas['AccountView']
export type Means = Omit<Sure<Schemas['AccountMeans']>, 'passkeys'> & { passkeys: PasskeyRow[] }
export type Happened = Schemas['AccountHappened']
export type Provider = Sure<Schemas['Provider']>
export type PasskeyRow = Schemas['AccountPasskeyView']
export type TokenRow = Sure<Schemas['AccountTokenView']>
export type TotpSetup = Schemas['TOTP']
export type InvitationLook = Schemas['OrgWelcome']

export type Geo = Schemas['SiteLocation']
export type FileRef = Schemas['SiteFile']
export type Privacy = NonNullable<Schemas['SiteSite']['privacy']>
/** A site as the server tells it: code and privacy may be left out only when one is sent. */
export type Site = Omit<Sure<Schemas['SiteSite']>, 'properties' | 'code' | 'privacy'> & { code: string; privacy: Privacy; properties?: Record<string, unknown> }
export type SiteType = Sure<Schemas['SiteType']>
export type SiteProperty = Sure<Schemas['SiteProperty']>
export type SitePoints = Sure<Schemas['SitePoints']>

export type ImportError = Schemas['SiteRowError']
export type SiteImport = Omit<Sure<Schemas['SiteImportView']>, 'sample'> & { sample: Site[] }

export type ResponseState = 'draft' | 'pending' | 'rejected' | 'final'
export type ResponseRow = Sure<Schemas['ResponseRow']>

export type Channel = Schemas['DeviceChannel']
export type Latest = Schemas['ReadingLatest']
export type Device = Sure<Schemas['DeviceDevice']>
export type DeviceDoc = Omit<Sure<Schemas['DeviceView']>, 'body'> & { body: Device }
export type Readings = Sure<Schemas['Readings']>

export type Entry = Schemas['LedgerEntry']
export interface Revision { entry: Entry; differences: { path: string; old?: unknown; new?: unknown }[]; deleted?: boolean }
export type Act = Schemas['ActivityAct']
export type Undone = Sure<Schemas['LedgerUndone']>
export type Checkpoint = Schemas['LedgerCheckpoint']

export type Branch = Sure<Schemas['OrgBranch']>
/** `branches`: all but the organization itself, each after the one above it. */
export type OrganizationView = Sure<Schemas['OrgTree']>
