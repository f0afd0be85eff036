/** Second factors in words. */
export const factorWords = (factor: string | undefined) => ({ totp: 'authenticator app', passkey: 'passkey', recovery: 'recovery code', provider: 'sign-in of the organization' })[factor ?? ''] ?? ''
