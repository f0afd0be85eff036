import { post, type Session } from '@/api'
import { ProblemError } from '@/ui/problem'

// Browsers want bytes where the server writes base64url, and give bytes back.
const bytes = (text: string) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
const text = (buffer: ArrayBuffer | null | undefined) => (buffer ? btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '') : undefined)

interface Listed { id: string; type: 'public-key'; transports?: AuthenticatorTransport[] }
interface Asked { challenge: string; rp: PublicKeyCredentialRpEntity; pubKeyCredParams: PublicKeyCredentialParameters[]; user?: { id: string; name: string; displayName: string }; excludeCredentials?: Listed[]; allowCredentials?: Listed[] }
const listed = (list?: Listed[]) => list?.map((c) => ({ ...c, id: bytes(c.id) }))

/** Whether this browser knows passkeys, and this page may ask for one. */
export const canPasskey = () => typeof PublicKeyCredential !== 'undefined' && !!navigator.credentials && isSecureContext

function sayWhy(error: unknown): never {
  if (error instanceof DOMException) {
    const words: Record<string, string> = {
      InvalidStateError: 'This device has a passkey for your account already.',
      SecurityError: 'Passkeys do not work at this address.',
      NotSupportedError: 'This device can make no passkey.',
    }
    throw new ProblemError({ status: 0, detail: words[error.name] ?? 'No passkey was used.', mend: error.name === 'SecurityError' ? 'Reach the server by its name.' : 'Try again, or choose another way.' })
  }
  throw error
}

/** Makes a passkey on this device, or on the one that the browser offers, and tells the server. */
export async function makePasskey(name: string): Promise<Session> {
  const { options } = await post<{ options: { publicKey: Asked } }>('/passkeys/question')
  const asked = options.publicKey
  const made = (await navigator.credentials.create({
    publicKey: { ...asked, challenge: bytes(asked.challenge), user: { ...asked.user!, id: bytes(asked.user!.id) }, excludeCredentials: listed(asked.excludeCredentials) } as PublicKeyCredentialCreationOptions,
  }).catch(sayWhy)) as PublicKeyCredential
  const answer = made.response as AuthenticatorAttestationResponse
  return post<Session>('/passkeys', {
    name,
    credential: {
      id: made.id, rawId: text(made.rawId), type: made.type, authenticatorAttachment: made.authenticatorAttachment ?? undefined, clientExtensionResults: made.getClientExtensionResults(),
      response: { clientDataJSON: text(answer.clientDataJSON), attestationObject: text(answer.attestationObject), transports: answer.getTransports?.() ?? [] },
    },
  })
}

/** Shows a passkey: to sign in, as second factor, or again. */
export async function showPasskey(): Promise<Session> {
  const { options } = await post<{ options: { publicKey: Asked } }>('/session/passkey/question')
  const asked = options.publicKey
  const shown = (await navigator.credentials.get({ publicKey: { ...asked, challenge: bytes(asked.challenge), allowCredentials: listed(asked.allowCredentials) } as PublicKeyCredentialRequestOptions }).catch(sayWhy)) as PublicKeyCredential
  const answer = shown.response as AuthenticatorAssertionResponse
  return post<Session>('/session/passkey', {
    credential: {
      id: shown.id, rawId: text(shown.rawId), type: shown.type, authenticatorAttachment: shown.authenticatorAttachment ?? undefined, clientExtensionResults: shown.getClientExtensionResults(),
      response: { clientDataJSON: text(answer.clientDataJSON), authenticatorData: text(answer.authenticatorData), signature: text(answer.signature), userHandle: text(answer.userHandle) },
    },
  })
}
