import type { Problem } from './types'

/** The one error type of the portal: a refusal in the server's words, or the network's. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail)
    this.name = 'ProblemError'
  }
}

const plain: Record<number, string> = {
  0: 'The server cannot be reached.',
  401: 'You are not signed in.',
  403: 'You may not do this.',
  404: 'There is nothing here, or you may not see it.',
  409: 'Somebody else changed this in the meantime.',
  412: 'Somebody else changed this in the meantime.',
  413: 'This is too large.',
  429: 'Too many requests. Wait a moment.',
  500: 'The server failed. It has been logged.',
  503: 'The server is busy. Try again in a moment.',
}

export function toProblem(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem
  if (error && typeof error === 'object' && 'status' in error) {
    const raw = error as Partial<Problem>
    const status = Number(raw.status) || 500
    return { ...raw, status, detail: raw.detail || raw.title || plain[status] || plain[500]! }
  }
  if (error instanceof TypeError) return { status: 0, detail: plain[0]!, mend: 'Check the connection, then try again.' }
  return { status: 500, detail: error instanceof Error ? error.message : String(error) }
}

/** The message for one field of a form. Places are JSON pointers; before them may stand that it was the body, or the document's body. */
export function at(problem: Problem | undefined, place: string) {
  return problem?.errors?.find((e) => bare(e.place) === place)
}
const bare = (place: string) => `/${place.replaceAll('.', '/').replace(/^\/+/, '').replace(/^(body\/){1,2}/, '')}`
