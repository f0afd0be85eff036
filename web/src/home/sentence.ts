import { ClipboardList, FilePen, KeyRound, MapPin, Radio, Undo2, Users, type LucideIcon } from 'lucide-vue-next'
import { deeds, type Act } from '@/activity/words'
import type { TimelineItem, Tone } from '@/ui'

const icons: Record<string, LucideIcon> = { site: MapPin, site_import: MapPin, response: ClipboardList, submission: ClipboardList, survey: FilePen, form: FilePen, device: Radio, phone: Radio, membership: Users, branch: Users, team: Users, invitation: KeyRound, account: KeyRound, access_grant: KeyRound }
const tones: Record<string, Tone> = { create: 'good', update: 'info', delete: 'bad', undelete: 'good', undo: 'warn' }

/** One act in words for the timeline: "Grace Mbewe imported 412 sites". */
export const sentence = (act: Act): TimelineItem => ({
  key: act.act, title: act.entry.actor_name || 'The system', by: deeds(act), time: act.entry.time,
  tone: tones[act.entry.verb] ?? 'quiet', icon: act.entry.verb === 'undo' ? Undo2 : icons[act.entry.kind],
})
