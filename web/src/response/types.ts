import type { Doc, Geo, ResponseState } from '@/api'
import type { Deployment, FormVersion, Schema } from '@/survey/types'

export type Answer = string | number | boolean | Geo | Geo[] | string[] | Answers | Answers[] | null
export interface Answers { [name: string]: Answer | undefined }
export interface Attachment { name: string; blob?: string; size?: number; type?: string; missing?: boolean; unexpected?: boolean }
export interface Approval { stage?: number | string; name?: string; by: string; by_name?: string; at: string; override?: boolean }
export interface Flag { path: string; value?: string; problem: string }
export interface ResponseBody {
  survey: string; deployment: string; form: string; site: string; instance_id: string; state: ResponseState; enumerator: string; submission: string
  answers?: Answers; attachments?: Attachment[]; approvals?: Approval[]; rejection?: { by: string; by_name?: string; at: string; reason: string }
  location?: Geo & { altitude?: number }; started?: string; ended?: string; submitted?: string; conflict_of?: string; flags?: Flag[]
}
export interface ResponseDoc extends Doc<ResponseBody> { entry?: number; site_name?: string; survey_name?: string; enumerator_name?: string; deployment_name?: string }
/** What the page of one response gets. */
export interface ResponseView extends ResponseDoc { form?: Schema | FormVersion | Doc<FormVersion>; deployment?: Doc<Deployment> }
export interface Quarantined { form_id?: string; version?: string; instance_id?: string; phone?: string; received?: string; sha256?: string; quarantine?: { reason?: string; code?: string; detail?: string } }
export interface QuarantinedDoc extends Doc<Quarantined> { phone_name?: string; enumerator_name?: string; survey_name?: string }

export const isPicture = (a: Attachment) => !a.missing && (a.type?.startsWith('image/') || /\.(jpe?g|png|webp|gif)$/i.test(a.name))
export const fileUrl = (response: string, name: string) => `/api/v1/responses/${response}/files/${encodeURIComponent(name)}`
