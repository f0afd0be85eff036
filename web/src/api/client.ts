import createClient from 'openapi-fetch'
import { ProblemError, toProblem } from '@/ui/problem'

type Query = Record<string, string | number | boolean | undefined | null>
interface Options { query?: Query; body?: unknown; ifMatch?: number; type?: string; signal?: AbortSignal }
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

const http = createClient<Record<string, Record<string, unknown>>>({ baseUrl: '/api/v1', credentials: 'same-origin' })
let lost: () => void = () => {}
/** What to do when the server says that nobody is signed in. */
export const onSignedOut = (then: () => void) => { lost = then }

let prove: () => Promise<boolean> = () => Promise.resolve(false)
/** How the second factor is asked for again. It answers whether it was given. */
export const onStepUp = (ask: () => Promise<boolean>) => { prove = ask }

/** One request, sent a second time when the server wanted the second factor again and got it. */
export async function call<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  try {
    return await send<T>(method, path, options)
  } catch (error) {
    if (!(error instanceof ProblemError) || error.problem.code !== 'session.step-up' || !(await prove())) throw error
    return send<T>(method, path, options)
  }
}

/** One request. Answers the JSON (undefined for 204) or throws a ProblemError with the server's problem. */
async function send<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  const query = Object.fromEntries(Object.entries(options.query ?? {}).filter(([, v]) => v !== undefined && v !== null && v !== ''))
  const text = typeof options.body === 'string' || options.body instanceof Blob
  const headers: Record<string, string> = {}
  if (options.body !== undefined) headers['Content-Type'] = options.type ?? 'application/json'
  if (options.ifMatch !== undefined) headers['If-Match'] = `"${options.ifMatch}"`
  let answer: { data?: unknown; error?: unknown; response: Response }
  try {
    const request = http.request as unknown as (method: string, path: string, init: unknown) => Promise<typeof answer>
    answer = await request(method.toLowerCase(), path, {
      params: { query },
      headers,
      signal: options.signal,
      ...(options.body !== undefined && { body: options.body, bodySerializer: (body: unknown) => (text ? body : JSON.stringify(body)) }),
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ProblemError(error instanceof SyntaxError ? { status: 502, detail: 'The answer cannot be read.', mend: 'Check that the address leads to a Qanat server.' } : toProblem(error))
  }
  const { response } = answer
  if (response.ok) return answer.data as T
  const problem = typeof answer.error === 'object' && answer.error ? { ...answer.error, status: response.status } : { status: response.status }
  if (response.status === 401 && !path.startsWith('/session') && !path.startsWith('/invitations') && !path.startsWith('/join/')) lost()
  throw new ProblemError(toProblem(problem))
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal) => call<T>('GET', path, { query, signal })
export const post = <T>(path: string, body?: unknown, options: Omit<Options, 'body'> = {}) => call<T>('POST', path, { ...options, body })
/** ifMatch: the revision that was read; the server refuses when it has changed since. */
export const put = <T>(path: string, body: unknown, ifMatch?: number) => call<T>('PUT', path, { body, ifMatch })
export const remove = <T = void>(path: string, ifMatch?: number) => call<T>('DELETE', path, { ifMatch })
