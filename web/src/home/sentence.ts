import { ClipboardList, FilePen, KeyRound, MapPin, Radio, Undo2, Users, type LucideIcon } from 'lucide-vue-next'
import type { Act } from '@/api'
import type { TimelineItem, Tone } from '@/ui'

const nouns: Record<string, [one: string, many: string]> = {
  site: ['site', 'sites'], response: ['response', 'responses'], submission: ['submission', 'submissions'], survey: ['survey', 'surveys'], form: ['form', 'forms'],
  deployment: ['deployment', 'deployments'], device: ['device', 'devices'], phone: ['phone', 'phones'], membership: ['membership', 'memberships'], invitation: ['invitation', 'invitations'],
  branch: ['branch', 'branches'], team: ['team', 'teams'], account: ['account', 'accounts'], site_import: ['import', 'imports'], site_type: ['site type', 'site types'], access_grant: ['grant', 'grants'], credential: ['credential', 'credentials'], session: ['session', 'sessions'],
}
const icons: Record<string, LucideIcon> = { site: MapPin, site_import: MapPin, response: ClipboardList, submission: ClipboardList, survey: FilePen, form: FilePen, device: Radio, phone: Radio, membership: Users, branch: Users, team: Users, invitation: KeyRound, account: KeyRound, access_grant: KeyRound }
const verbs: Record<string, string> = { create: 'added', update: 'changed', delete: 'deleted', undelete: 'restored', undo: 'undid a change of' }
const tones: Record<string, Tone> = { create: 'good', update: 'info', delete: 'bad', undelete: 'good', undo: 'warn' }

export const noun = (kind: string, count = 1) => nouns[kind]?.[count === 1 ? 0 : 1] ?? kind.replaceAll('_', ' ')

/** One act in words: "Grace Mbewe added 412 sites". */
export function sentence(act: Act): TimelineItem {
  const { entry } = act
  const kinds = Object.entries(act.kinds ?? {}).sort((a, b) => b[1] - a[1])
  const many = kinds.length > 0 && act.entries > 1
  const what = many ? kinds.slice(0, 2).map(([kind, count]) => `${count.toLocaleString()} ${noun(kind, count)}`).join(' and ') : `${noun(entry.kind)}${act.title ? ` ${act.title}` : ''}`
  return { key: act.act, title: entry.actor_name || 'The system', by: `${verbs[entry.verb] ?? entry.verb} ${what}`, time: entry.time, tone: tones[entry.verb] ?? 'quiet', icon: entry.verb === 'undo' ? Undo2 : icons[entry.kind] }
}
