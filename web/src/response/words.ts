import type { Revision } from '@/api'

// Who and when stand at the head of a revision already.
export const repeated = /^\/(approvals\/\d+\/(by|name|at)|rejection\/(by|name|at)|submitted)$/

/** What a revision of a response did, in words; nothing for an edit. */
export function step({ entry, differences }: Revision): string | undefined {
  if (entry.verb !== 'update') return undefined
  const state = differences?.find((d) => d.path === '/state')
  const approvals = differences?.find((d) => d.path.startsWith('/approvals'))
  if (state?.new === 'rejected') return 'rejected this'
  if (state?.new === 'draft') return 'recalled this'
  if (state && (state.old === 'draft' || state.old === 'rejected')) return 'sent this in'
  if (approvals && approvals.new !== undefined && approvals.new !== null) return state?.new === 'final' ? 'approved this as final' : 'approved this'
  return state?.new === 'final' ? 'made this final' : undefined
}
