import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type Order = Schemas['ErasureView']
export type Due = Schemas['ErasureDue']
export type Kind = Schemas['ErasureOrder']['kind']

/** What the state of an order is called, and its tone. */
export const states = {
  ordered: { label: 'waits for a second person', tone: 'warn' },
  sealed: { label: 'sealed', tone: 'info' },
  erased: { label: 'erased', tone: 'quiet' },
  'called-off': { label: 'called off', tone: 'quiet' },
} as const

export const kinds: Record<Kind, string> = { person: 'Person', response: 'Response', site: 'Site', submission: 'Submission' }

export const classes: Record<Due['class'], string> = {
  responses: 'responses and their submissions', readings: 'readings of devices', photos: 'photos and files of responses', events: 'security events and refusals', sessions: 'ended sessions',
}
