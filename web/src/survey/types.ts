import type { Doc, ResponseState } from '@/api'

/** One text in the form's languages; the key "" is text without a language. */
export type Text = Record<string, string>
export type FieldType =
  | 'group' | 'repeat' | 'string' | 'int' | 'decimal' | 'boolean' | 'date' | 'time' | 'dateTime' | 'geopoint' | 'geotrace' | 'geoshape'
  | 'select' | 'selectMultiple' | 'rank' | 'binary' | 'barcode' | 'trigger'
export interface Choice { value: string; label?: Text }
export interface FormField {
  path: string; name: string; type: FieldType; label?: Text; hint?: Text; guidance?: Text; appearance?: string; hidden?: boolean
  readonly?: string; required?: string; required_text?: Text; relevant?: string; constraint?: string; constraint_text?: Text
  calculate?: string; preload?: string; count?: string; media_type?: string; choices?: Choice[]; list?: string; external?: string
  filter?: boolean; save_to?: string; confidential?: string; class?: string; fields?: FormField[]
}
export interface Schema {
  id: string; version: string; title: string; root: string; languages?: string[]; default_language?: string; fields: FormField[]
  lists?: Record<string, Choice[]>; files?: string[]; entities?: { path: string; dataset: string }[]; has_instance_id?: boolean
  encrypted?: boolean; warnings?: { place: string; message: string }[]
}
export interface FormVersion { survey: string; form_id: string; version: string; title: string; hash: string; size: number; schema: Schema }
/** A version without its questions. */
export interface ListedVersion { id: string; name: string; version: string; hash: string; made?: string }

export interface Survey { name: string; branch: string; form_id: string; form: string }
export interface SurveyDoc extends Doc<Survey> { counts?: Partial<Record<ResponseState, number>> }

export interface Stage { name: string; approvers: string[]; no_edit?: boolean }
export interface Deployment {
  survey: string; name: string; active: boolean; stages?: Stage[]; enumerators?: string[]; viewers?: string[]; managers?: string[]; admins?: string[]
  delete_final?: boolean; site_question?: string
}
export interface Phone { account: string; name: string; revoked?: boolean }
/** What is shown once when a phone is set up. */
export interface PhoneMade { phone: Doc<Phone>; url: string; qr: string }
