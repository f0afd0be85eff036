/** What can be done, as people say it after "may". */
const verbs: Record<string, string> = {
  see: 'see', edit: 'edit', create: 'create or bring back', delete: 'delete', share: 'share', administer: 'administer', submit: 'send in', approve: 'approve', reject: 'reject',
  recall: 'recall', deploy: 'deploy', design: 'change the form', reveal: 'reveal confidential answers', export: 'export', claim: 'make claim codes', revoke: 'revoke', release: 'release',
}
export const verbWord = (verb: string) => verbs[verb] ?? verb

/** "see, edit and delete" */
export function listed(words: string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]}`
}

/** A role that a grant gives, as a word that can stand alone. */
export const roleWord = (role: string) => role.charAt(0).toUpperCase() + role.slice(1)

const kinds: Record<string, string> = { site: 'sites', survey: 'surveys', deployment: 'deployments', response: 'responses', device: 'devices' }
export const kindsWord = (kind: string) => kinds[kind] ?? kind.replaceAll('_', ' ')

/** "12 responses become visible", or nothing when nothing changes. */
export function visibly(v: { kind: string; before: number; after: number; more?: boolean }): string {
  const difference = v.after - v.before
  if (!difference) return ''
  const single = Math.abs(difference) === 1 && !v.more
  return `${v.more ? 'more than ' : ''}${Math.abs(difference).toLocaleString()} ${single ? v.kind.replaceAll('_', ' ') : kindsWord(v.kind)} ${difference > 0 ? (single ? 'becomes visible' : 'become visible') : single ? 'vanishes' : 'vanish'}`
}
