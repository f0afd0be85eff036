import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Plugin } from 'vite'
import { fieldRoutes } from './field'
import { fleetRoutes } from './fleet'
import { formRoutes } from './forms'
import { peopleRoutes } from './people'

/** One made-up answer. Throw a Refusal for a problem. */
export type Handler = (ask: { params: Record<string, string>; query: URLSearchParams; body: string; json: () => any; cookie: string; set: (cookie: string) => void }) => unknown
export type Routes = Record<string, Handler>
export class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, detail: string, readonly more: object = {}) { super(detail) }
}

/** Answers /api in the shape of the contract, for work on pages without a server. Development only; the build never sees it. */
export function fixtures(): Plugin {
  const routes: Routes = { ...peopleRoutes, ...fieldRoutes, ...fleetRoutes, ...formRoutes }
  const table = Object.entries(routes).map(([key, handler]) => {
    const [method, path] = key.split(' ') as [string, string]
    return { method, pattern: new RegExp(`^/api/v1${path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`), handler }
  })
  async function answer(request: IncomingMessage, response: ServerResponse) {
    const url = new URL(request.url!, 'http://x')
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString('utf8')
    const send = (status: number, content: unknown, type = 'application/json') => {
      response.statusCode = status
      response.setHeader('Content-Type', type)
      response.end(content === undefined ? '' : typeof content === 'string' ? content : JSON.stringify(content))
    }
    const found = table.find((r) => r.method === request.method && r.pattern.test(url.pathname))
    if (!found) return send(404, { title: 'Not Found', status: 404, detail: `The fixtures have no ${request.method} ${url.pathname}`, code: 'fixture.missing' }, 'application/problem+json')
    await new Promise((done) => setTimeout(done, Number(process.env.QANAT_DELAY ?? 120)))
    try {
      const result = await found.handler({ params: found.pattern.exec(url.pathname)?.groups ?? {}, query: url.searchParams, body, json: () => JSON.parse(body || '{}'), cookie: request.headers.cookie ?? '', set: (cookie) => response.setHeader('Set-Cookie', cookie) })
      if (typeof result === 'string') send(200, result, result.startsWith('<svg') ? 'image/svg+xml' : 'application/xml')
      else send(result === undefined ? 204 : 200, result)
    } catch (error) {
      if (error instanceof Refusal) send(error.status, { title: error.message, status: error.status, detail: error.message, code: error.code, ...error.more }, 'application/problem+json')
      else { console.error(error); send(500, { title: 'Internal', status: 500, detail: String(error) }, 'application/problem+json') }
    }
  }
  return { name: 'qanat-fixtures', configureServer(server) { server.middlewares.use((q, a, next) => (q.url?.startsWith('/api/') ? void answer(q, a) : next())) } }
}
