// The shapes of the API as the portal uses them. Where schema.d.ts (generated from the server) knows a shape, it wins:
// replace the interface here by an alias of it, so that there stays one place to look.
import type { Difference } from '@/ui/types'

export interface Doc<T> { id: string; org: string; revision: number; changed: string; body: T; may?: Record<string, boolean> }
export interface Page<T> { items: T[]; next: string; total?: number }

export interface Organization { id: string; name: string; groups: string[] }
export interface Session { account: { id: string; name: string; email: string }; needs: '' | 'code' | 'totp-setup'; organizations: Organization[]; server?: string }
export interface TotpSetup { secret: string; uri: string; qr: string }
export interface InvitationLook { organization: string; branch: string; group: string; name: string; email: string; expires: string; existing: boolean; link?: boolean }

export interface Geo { lat: number; lon: number; accuracy?: number }
export interface FileRef { name: string; blob: string; type: string; size: number }
export type Privacy = 'public' | 'protected' | 'private'
export interface Site { code: string; type: string; name: string; branch: string; privacy: Privacy; location?: Geo; status: string; properties?: Record<string, unknown>; photos?: FileRef[] }
export interface SiteType { key: string; name: string; properties: SiteProperty[] }
export interface SiteProperty { key: string; label: string; type: 'text' | 'number' | 'integer' | 'date' | 'choice' | 'boolean'; choices?: { value: string; label: string }[]; unit?: string }
export interface SitePoints { ids: string[]; lon: number[]; lat: number[]; status: string[]; type: string[]; names: string[]; codes: string[]; more?: boolean; unplaced?: number }

export interface ImportError { row: number; column: string; value: string; message: string; mend: string }
export interface SiteImport {
  id: string; state: 'preview' | 'running' | 'done' | 'failed' | 'undone'; name?: string
  rows: number; creates: number; done: number; errors_total: number; errors: ImportError[]
  mapping: Record<string, string>; columns: string[]; sample: Site[]; act: number
}

export type ResponseState = 'draft' | 'pending' | 'rejected' | 'final'
export interface ResponseRow { survey: string; deployment: string; form: string; site: string; state: ResponseState; enumerator: string; started: string; ended: string; submitted: string; location?: Geo; site_name?: string; survey_name?: string; enumerator_name?: string }

export interface Channel { key: string; name: string; unit: string }
export interface Latest { channel: string; ts: number | string; value: number; unit?: string }
export interface Device { serial: string; name: string; model: string; site: string; branch: string; state: string; channels: Channel[] }
export interface DeviceDoc extends Doc<Device> { latest?: Latest[]; last_seen?: string; connected?: boolean }
export interface Readings { series: { channel: string; name: string; unit: string; ts: number[]; value: number[] }[] }

export interface Entry { number: number; time: string; act: number; org: string; kind: string; doc: string; revision: number; verb: string; actor: string; actor_kind: string; actor_name: string; door: string; from: string; reason: string; reverts: number }
export interface Revision { entry: Entry; differences: Difference[] }
export interface Act { act: number; count: number; entry: Entry; kinds: Record<string, number>; title?: string; undone: boolean }
export interface Undone { count: number; act: number; conflicts?: { doc?: string; message?: string; title?: string }[] }
export interface Checkpoint { note: string; size: number; root: string; key: string }

export interface Branch { name: string; parent?: string; path?: string[] }
/** `branches`: all but the organization itself. */
export interface OrganizationView { organization: Doc<Branch>; branches: Doc<Branch>[]; teams: unknown[]; counts?: Record<string, number> }
