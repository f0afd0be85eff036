import type { Checkpoint } from '@/api'
import type { Tone } from '@/ui/types'

type State = NonNullable<Checkpoint['witnesses']>[number]['state']

export const witnessStates: Record<State, { label: string; tone: Tone }> = {
  good: { label: 'Cosigned', tone: 'good' },
  waiting: { label: 'Waiting', tone: 'quiet' },
  unreachable: { label: 'Not reached', tone: 'warn' },
  unknown: { label: 'Does not know us', tone: 'warn' },
  conflict: { label: 'Contradicts', tone: 'bad' },
}

export const notes: { text: string; command?: string; more?: string }[] = [
  { text: 'Download the note and copy the key now, and keep both somewhere else: in a letter, on another machine.' },
  { text: 'To show that one change is in the ledger, open it under Activity and choose Download proof. The file and the key are enough; it does not reveal what was written.' },
  { text: 'Check files on your own machine, without this server:', command: 'check', more: 'It says who did what and when, or why a file does not hold. Notes of different times need the proof from one to the other.' },
  { text: 'On the server, the operator runs', command: 'qanat verify --data DIR', more: 'It reads every entry, works out the tree again, compares it with every signed checkpoint, and opens every document. One changed byte is found and named.' },
]
