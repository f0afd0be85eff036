import { sites } from './field'
import { Refusal, type Routes } from './fixtures'
import { ago, branches, org, svg, uid } from './world'

const channels = [[{ key: 'level', name: 'Water level', unit: 'm' }, { key: 'battery', name: 'Battery', unit: 'V' }], [{ key: 'flow', name: 'Flow', unit: 'L/min' }], [{ key: 'strokes', name: 'Pump strokes', unit: '/min' }, { key: 'battery', name: 'Battery', unit: 'V' }]]
const states = ['active', 'active', 'active', 'active', 'active', 'active', 'registered', 'claimed', 'active', 'quarantined', 'revoked', 'active']
const base: Record<string, number> = { level: 14, battery: 3.7, flow: 22, strokes: 31 }
const value = (key: string, n: number, t: number) => +(base[key]! * (1 + 0.18 * Math.sin(t / 2.2e6 + n) + 0.05 * Math.sin(t / 4e4 + n * 3) + (key === 'battery' ? -0.1 : 0.03 * Math.sin(t / 5e3)))).toFixed(3)

const devices = states.map((state, i) => ({ id: uid('de', i + 1), org, revision: 2, changed: ago(i * 300), body: { serial: `QN-${(4100 + i * 37).toString(16).toUpperCase()}-${i + 10}`, name: `${['Logger', 'Flow meter', 'Handpump sensor'][i % 3]} ${i + 1}`, model: ['LevelLogger 2', 'FlowSense', 'Consumption V3'][i % 3], site: sites[i * 5]!.id, branch: branches[i % 4]!.id, state, channels: channels[i % 3]!, certificates: [] } }))
const show = (d: (typeof devices)[number], i: number) => ({ ...d, last_seen: d.body.state === 'active' ? new Date(Date.now() - (i === 8 ? 3 * 3600_000 : (i * 1700) % 9000)).toISOString() : undefined, connected: d.body.state === 'active' && i !== 8, latest: d.body.state === 'active' ? d.body.channels.map((c) => ({ channel: c.key, ts: Date.now() - 2000, value: value(c.key, i, Date.now()), unit: c.unit })) : [] })

export const fleetRoutes: Routes = {
  'GET /devices': ({ query }) => ({ items: devices.map(show).filter((d) => (!query.get('site') || d.body.site === query.get('site')) && (!query.get('state') || d.body.state === query.get('state'))), next: '', total: devices.length }),
  'GET /sites/{id}/devices': ({ params }) => ({ items: devices.map(show).filter((d) => d.body.site === params.id), next: '' }),
  'GET /devices/{id}': ({ params }) => {
    const at = devices.findIndex((d) => d.id === params.id)
    if (at < 0) throw new Refusal(404, 'device.missing', 'There is no such device, or you may not see it.')
    return show(devices[at]!, at)
  },
  'POST /devices/{id}/claim-code': () => ({ code: 'K7PW-3XQ9', expires: new Date(Date.now() + 3600_000).toISOString(), qr: svg('claim') }),
  'GET /devices/{id}/readings': ({ params, query }) => {
    const at = Math.max(0, devices.findIndex((d) => d.id === params.id))
    const to = Number(query.get('to')) || Date.parse(query.get('to') ?? '') || Date.now()
    const from = Number(query.get('from')) || Date.parse(query.get('from') ?? '') || to - 86_400_000
    const n = Math.min(Number(query.get('limit') || 500), Math.max(2, Math.floor((to - from) / 5000)))
    const ts = Array.from({ length: n }, (_, i) => Math.round(from + ((to - from) * (i + 1)) / n))
    return { series: devices[at]!.body.channels.filter((c) => !query.get('channel') || c.key === query.get('channel')).map((c) => ({ channel: c.key, name: c.name, unit: c.unit, ts, value: ts.map((t) => value(c.key, at, t)) })) }
  },
  'GET /refusals': () => ({ items: [{ reason: 'certificate unknown', address: '203.0.113.9', serial: '', fingerprint: '9f:11:…', first: ago(4000), last: ago(12), count: 418 }], next: '' }),
}
