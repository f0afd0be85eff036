import type { Doc, Geo, ResponseState } from '@/api'
import type { Schema } from '@/survey/types'

export type Answer = string | number | boolean | Geo | Geo[] | string[] | Answers | Answers[] | null
export interface Answers { [name: string]: Answer | undefined }
export interface Attachment { name: string; blob?: string; size?: number; type?: string; missing?: boolean; expired?: boolean; unexpected?: boolean }
export interface Approval { stage: string; by: string; name: string; at: string; override?: boolean }
export interface Flag { path: string; value?: string; problem: string }
export interface ResponseBody {
  survey: string; deployment: string; form: string; site: string; instance_id: string; state: ResponseState; enumerator: string; submission: string
  name?: string; answers?: Answers; incomplete?: boolean; replaces?: string; attachments?: Attachment[]; approvals?: Approval[]; rejection?: { by: string; name: string; at: string; reason: string; override?: boolean }
  location?: Geo & { altitude?: number }; started?: string; ended?: string; submitted?: string; conflict_of?: string; flags?: Flag[]
}
interface Names { site_name?: string; survey_name?: string; enumerator_name?: string }
/** `entry`: the number of the change that made this revision. */
export interface ResponseDoc extends Doc<ResponseBody>, Names { entry?: number }
/** What the page of one response gets. */
export interface ResponseView extends Names { doc: ResponseDoc; form?: Schema; may: Record<string, boolean> }
export interface Quarantined { form_id?: string; version?: string; instance_id?: string; phone: string; enumerator: string; device?: string; received: string; size?: number; survey?: string; quarantine?: { code: string; reason: string } }
export type QuarantinedDoc = Doc<Quarantined>

export const isPicture = (a: Attachment) => !a.missing && !a.expired && (a.type?.startsWith('image/') || /\.(jpe?g|png|webp|gif)$/i.test(a.name))
/** at: the file as it stood then; empty: now. */
export const fileUrl = (response: string, name: string, at = '') => `/api/v1/responses/${response}/files/${encodeURIComponent(name)}${at && `?at=${encodeURIComponent(at)}`}`
