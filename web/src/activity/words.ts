import type { Difference } from '@/ui'
import type { Entry, Undone as Result } from '@/api'

/** What somebody did at once: one entry, or the thousands of an import. */
export interface Act { act: number; entries: number; newest: number; kinds: Record<string, number>; entry: Entry; title?: string; about?: string; undone: boolean; break_glass?: Glass }
/** The visit of a server administrator under break-glass in which something was done. */
export interface Glass { id: string; reason: string }
export interface ActPage { act: Act; entries: Detail[]; next: number }
export interface Detail { entry: Entry; title?: string; before?: unknown; after?: unknown; differences: Difference[]; undone_by?: number; others: number; break_glass?: Glass }
export interface Conflict { entry: Entry; message: string }
/** What came from a phone stays as it came: no undo reaches it, and none has failed because of it. */
export const received = (c: Conflict) => c.entry.kind === 'submission' && c.entry.verb === 'create'
export const receivedText = 'What the phone sent is kept as it came; only an erasure takes it away.'
export interface Undone { act: number; count: number; conflicts: Conflict[] | null }

/** Whose changes to undo, in which time: instants. */
export interface Range { org: string; actor?: string; act?: number; kinds?: string[]; since?: string; until?: string }
export interface Run { id: string; state: 'looking' | 'looked' | 'running' | 'done' | 'failed'; message?: string; result: Result }

const nouns: Record<string, [one: string, many: string]> = {
  site: ['site', 'sites'], response: ['response', 'responses'], submission: ['submission', 'submissions'], survey: ['survey', 'surveys'], form: ['form', 'forms'],
  deployment: ['deployment', 'deployments'], device: ['device', 'devices'], phone: ['phone', 'phones'], membership: ['membership', 'memberships'], invitation: ['invitation', 'invitations'],
  branch: ['branch', 'branches'], team: ['team', 'teams'], account: ['account', 'accounts'], site_import: ['import', 'imports'], site_type: ['site type', 'site types'], access_grant: ['grant', 'grants'], credential: ['credential', 'credentials'], session: ['session', 'sessions'], token: ['service token', 'service tokens'],
  break_glass: ['break-glass visit', 'break-glass visits'], access_record: ['access record', 'access records'], export: ['export', 'exports'], security_event: ['sign-in event', 'sign-in events'],
  erasure: ['erasure', 'erasures'], retention_run: ['run of retention', 'runs of retention'], expired: ['list of what has expired', 'lists of what has expired'],
}
export const noun = (kind: string, count = 1) => nouns[kind]?.[count === 1 ? 0 : 1] ?? kind.replaceAll('_', ' ')

/** Through which door a change came, in words. */
const doors: Record<string, string> = { web: 'the portal', openrosa: 'a phone', mqtt: 'a device', cli: 'the command line', api: 'the API', server: 'the server', demo: 'the demo' }
export const doorWord = (door: string) => doors[door] ?? door

export const kinds = ['site', 'site_import', 'response', 'submission', 'survey', 'form', 'deployment', 'phone', 'device', 'branch', 'team', 'membership', 'invitation', 'access_grant', 'token', 'export', 'access_record', 'security_event', 'break_glass', 'erasure', 'retention_run']
export const kindOptions = kinds.map((value) => ({ value, label: (noun(value, 2).charAt(0).toUpperCase() + noun(value, 2).slice(1)) }))

const options = (words: Record<string, string>) => Object.entries(words).map(([value, label]) => ({ value, label: label.charAt(0).toUpperCase() + label.slice(1) }))
export const verbOptions = options({ create: 'added', update: 'changed', delete: 'deleted', undelete: 'restored', undo: 'undone' })
export const actorKindOptions = options({ account: 'people', token: 'service tokens', phone: 'phones', device: 'devices', system: 'the server itself' })
export const doorOptions = options(Object.fromEntries(Object.entries(doors).filter(([door]) => door !== 'demo')))

/** Where the thing a change was about can be seen, if it has a page. */
export function placeOf(kind: string, doc: string): string | undefined {
  const pages: Record<string, string> = { site: '/sites', response: '/responses', survey: '/surveys', device: '/devices', site_import: '/sites/import' }
  if (pages[kind]) return `${pages[kind]}/${doc}`
  return ['branch', 'team', 'membership', 'invitation'].includes(kind) ? '/organization' : undefined
}

const past: Record<string, string> = { create: 'added', update: 'changed', delete: 'deleted', undelete: 'restored', undo: 'undid a change of' }
// What is written down though no thing changed is said by its own words.
const events: Record<string, string> = {
  'sign-in-failed': 'noted a wrong password', 'sign-in-refused': 'refused to try more passwords', 'code-refused': 'refused to try more codes', 'code-wrong': 'noted a wrong code', closed: 'closed an account to unknown browsers',
  'sessions-ended': 'ended all sessions of a person', 'account-disabled': 'disabled an account', 'account-enabled': 'enabled an account',
  'sign-in-link': 'made a sign-in link for a person', 'sign-in-link-and-factor': 'made a sign-in link for a person and took the second factor away',
}
function said(entry: Pick<Entry, 'verb' | 'kind'>, title: string): string | undefined {
  if (entry.kind === 'security_event') return events[title] ?? (title ? `noted: ${title.replaceAll('-', ' ')}` : undefined)
  if (entry.kind === 'access_record' && title === 'refused') return 'was refused to do something'
  if (entry.kind === 'access_record') return title ? `is on record: ${title}` : undefined
  if (entry.kind === 'export' && entry.verb === 'create') return title ? `exported ${title}` : undefined
  if (entry.kind === 'break_glass') return entry.verb === 'create' ? 'entered under break-glass' : 'ended or acknowledged a break-glass visit'
  return undefined
}

/** "changed site Chingale Borehole 4". */
export const deed = (entry: Pick<Entry, 'verb' | 'kind'>, title = '') => said(entry, title) ?? `${past[entry.verb] ?? entry.verb} ${noun(entry.kind)}${title ? ` ${title}` : ''}`

// An import keeps its own progress; its sites are an act of their own, and that is what can be undone.
const importSteps: Record<string, string> = { 'import previewed': 'looked through', 'import started': 'began to import', import: 'went on importing', 'import ended': 'finished importing' }
const stepOf = (entry: Entry) => (entry.kind === 'site_import' ? importSteps[entry.reason ?? ''] : undefined)
/** Whether the words of an act say its reason already. */
export const saysReason = (act: Act) => secrets(act) || (!!act.break_glass && act.entry.reason === `break-glass: ${act.break_glass.reason}`) || !!stepOf(act.entry) || (act.entry.reason === 'import' && act.entries > 1)
/** Whether an act as a whole can be taken back here. */
export const undoable = (act: Act) => !act.undone && !secrets(act) && act.entry.kind !== 'site_import' && !Object.keys(act.kinds ?? {}).some((k) => ['break_glass', 'access_record', 'security_event', 'export', 'erasure', 'retention_run', 'expired'].includes(k))
/** Whether an act is about passwords and sessions: nothing of it can be shown or undone. */
export const secrets = (act: Act) => Object.keys(act.kinds ?? {}).some((k) => ['credential', 'session', 'attempt', 'sign_in'].includes(k))
/** "10,000 deleted responses": changes of one sort, counted. */
export function tallied(t: { kind: string; verb: string; total: number }): string {
  const sorts: Record<string, string> = { create: 'added', delete: 'deleted', undelete: 'restored' }
  const counted = t.total.toLocaleString()
  if (sorts[t.verb]) return `${counted} ${sorts[t.verb]} ${noun(t.kind, t.total)}`
  return `${counted} ${t.verb === 'undo' ? (t.total === 1 ? 'undo' : 'undos') : t.total === 1 ? 'change' : 'changes'} of ${noun(t.kind, 2)}`
}

/** "imported 11,409 sites", "added 3 phones and 1 site". */
export function deeds(act: Act): string {
  const step = stepOf(act.entry)
  if (step) return `${step} ${act.title ?? ''}`.trim()
  if (act.entries <= 1) return secrets(act) && act.entry.reason ? act.entry.reason : `${deed(act.entry, act.title)}${act.about ? `: ${act.about}` : ''}`
  if (act.kinds?.break_glass) return said(act.kinds.membership && act.entry.verb === 'create' ? { kind: 'break_glass', verb: 'create' } : { kind: 'break_glass', verb: 'update' }, '')!
  // A submission always comes with its response, and a form's first version with its survey: one deed each.
  const only = (...kinds: string[]) => act.entries === kinds.length && kinds.every((k) => act.kinds?.[k] === 1)
  if (only('submission', 'response')) return 'sent in a response'
  if (only('form', 'survey')) return act.entry.verb === 'create' ? `added survey ${act.title ?? ''}`.trim() : `uploaded a version of survey ${act.title ?? ''}`.trim()
  if (secrets(act)) return act.entry.reason ? act.entry.reason : 'signed in or out'
  const counted = Object.entries(act.kinds ?? {}).sort((a, b) => b[1] - a[1])
  const imported = act.kinds?.site && act.entry.verb === 'create' && act.entry.reason?.startsWith('import')
  const verb = imported ? 'imported' : (past[act.entry.verb] ?? act.entry.verb)
  const parts = counted.filter(([kind]) => !imported || kind !== 'site_import').map(([kind, n]) => `${n.toLocaleString()} ${noun(kind, n)}`)
  return `${verb} ${parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}` : (parts[0] ?? `${act.entries.toLocaleString()} things`)}`
}
