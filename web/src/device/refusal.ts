/** Why a connection was turned away, and what to do about it. */
const reasons: Record<string, { label: string; advice: string; authorise?: boolean }> = {
  'no-certificate': { label: 'No certificate', advice: 'It showed none. A device gets its certificate by claiming.', authorise: true },
  'unknown-ca': { label: 'Unknown authority', advice: 'Its certificate is not from this server. It may belong elsewhere, or must claim here first.', authorise: true },
  expired: { label: 'Expired', advice: 'Its certificate ran out before it was renewed. Make a claim code for it.' },
  unclaimed: { label: 'Not claimed', advice: 'The certificate is ours, but no such device is registered, or it has not claimed.', authorise: true },
  revoked: { label: 'Revoked', advice: 'The device or its certificate was revoked. That is final for this certificate.' },
  'wrong-organization': { label: 'Other organization', advice: 'The device belongs to another organization now. Its new owner has to make a claim code.' },
  'two-places': { label: 'In two places', advice: 'The same certificate came from two addresses at once. If that is no copy, look at its network; else revoke it.' },
  malformed: { label: 'Broken protocol', advice: 'It does not speak MQTT as it should. Look at its firmware.' },
  crowded: { label: 'Too many connections', advice: 'More connections than its limit. It may be reconnecting in a loop.' },
  slow: { label: 'Nothing came', advice: 'It connected, and said nothing in time.' },
  topic: { label: 'Foreign topic', advice: 'It published to a topic that is not its own. Look at its configuration.' },
  payload: { label: 'Unreadable message', advice: 'What it sent is no reading. Its page shows the last of them.' },
  claim: { label: 'Wrong claim', advice: 'A wrong serial number or claim code. If it is yours, register it and make a new code.', authorise: true },
}
export const refusalOf = (reason: string) => reasons[reason] ?? { label: reason.replaceAll('-', ' '), advice: '' }
