import type { Tone } from './types'

/** Every state the field and the fleet know, with its word and its meaning as a colour. */
const states: Record<string, { label: string; tone: Tone }> = {
  functional: { label: 'Functional', tone: 'good' },
  partly: { label: 'Partly functional', tone: 'warn' },
  not_functional: { label: 'Not functional', tone: 'bad' },
  unknown: { label: 'Unknown', tone: 'quiet' },
  draft: { label: 'Draft', tone: 'quiet' },
  pending: { label: 'Pending', tone: 'info' },
  rejected: { label: 'Rejected', tone: 'bad' },
  final: { label: 'Final', tone: 'good' },
  registered: { label: 'Registered', tone: 'quiet' },
  claimed: { label: 'Claimed', tone: 'info' },
  active: { label: 'Active', tone: 'good' },
  quarantined: { label: 'Quarantined', tone: 'warn' },
  revoked: { label: 'Revoked', tone: 'bad' },
  preview: { label: 'Preview', tone: 'info' },
  running: { label: 'Running', tone: 'info' },
  done: { label: 'Done', tone: 'good' },
  failed: { label: 'Failed', tone: 'bad' },
  undone: { label: 'Undone', tone: 'quiet' },
  online: { label: 'Online', tone: 'good' },
  offline: { label: 'Offline', tone: 'quiet' },
  public: { label: 'Public', tone: 'info' },
  protected: { label: 'Protected', tone: 'quiet' },
  private: { label: 'Private', tone: 'quiet' },
  create: { label: 'Created', tone: 'good' },
  update: { label: 'Changed', tone: 'info' },
  delete: { label: 'Deleted', tone: 'bad' },
  undelete: { label: 'Restored', tone: 'good' },
  undo: { label: 'Undone', tone: 'warn' },
}

export function stateOf(state: string | undefined): { label: string; tone: Tone } {
  const key = state || 'unknown'
  return states[key] ?? { label: key.charAt(0).toUpperCase() + key.slice(1).replaceAll('_', ' '), tone: 'quiet' }
}
