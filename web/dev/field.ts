import { Refusal, type Routes } from './fixtures'
import { ago, branches, normal, org, people, pick, random, uid } from './world'

const villages = ['Chingale', 'Malosa', 'Songani', 'Namadidi', 'Jali', 'Thondwe', 'Mayaka', 'Nsondole', 'Likangala', 'Domasi', 'Kachulu', 'Mpyupyu', 'Namasalima', 'Lambulira', 'Chikowi', 'Mlumbe']
const places = villages.map((name) => ({ name, lat: -15.38 + normal() * 0.26, lon: 35.32 + normal() * 0.3, spread: 0.025 + random() * 0.05 }))
const kinds = ['water_point', 'water_point', 'water_point', 'water_point', 'water_point', 'spring', 'kiosk', 'school']
const heads = { water_point: ['Borehole', 'Afridev', 'Shallow well'], spring: ['Spring'], kiosk: ['Kiosk'], school: ['Primary School'] } as Record<string, string[]>
const statuses = ['functional', 'functional', 'functional', 'partly', 'partly', 'not_functional', 'unknown']
const check = (n: number) => String((n * 7) % 97).padStart(2, '0')

interface Site { id: string; org: string; revision: number; changed: string; body: any }
export const sites: Site[] = Array.from({ length: Number(process.env.QANAT_SITES ?? 2214) }, (_, i) => {
  const place = pick(places)
  const type = pick(kinds)
  return {
    id: uid('51', i + 1), org, revision: 1 + Math.floor(random() * 4), changed: ago(random() * 60 * 24 * 40),
    body: {
      code: `WP-${String(i + 1).padStart(5, '0')}-${check(i + 1)}`, type, name: `${place.name} ${pick(heads[type]!)} ${1 + Math.floor(random() * 60)}`, branch: pick(branches).id, privacy: random() < 0.9 ? 'protected' : 'public',
      location: { lat: +(place.lat + normal() * place.spread).toFixed(6), lon: +(place.lon + normal() * place.spread).toFixed(6), accuracy: 4.2 },
      status: pick(statuses), properties: { source: pick(['borehole', 'protected_well', 'spring']), pump: pick(['afridev', 'malda', 'none']), installed: `${1992 + Math.floor(random() * 32)}-0${1 + Math.floor(random() * 9)}-14`, households: 20 + Math.floor(random() * 180), depth: +(12 + random() * 50).toFixed(1), committee: random() < 0.7 },
      photos: [],
    },
  }
})
const types = [
  { key: 'water_point', name: 'Water point', properties: [
    { key: 'source', label: 'Water source', type: 'choice', choices: [{ value: 'borehole', label: 'Borehole' }, { value: 'protected_well', label: 'Protected well' }, { value: 'spring', label: 'Spring' }] },
    { key: 'pump', label: 'Pump', type: 'choice', choices: [{ value: 'afridev', label: 'Afridev' }, { value: 'malda', label: 'Malda' }, { value: 'none', label: 'None' }] },
    { key: 'installed', label: 'Installed on', type: 'date' }, { key: 'households', label: 'Households served', type: 'integer' }, { key: 'depth', label: 'Depth', type: 'number', unit: 'm' }, { key: 'committee', label: 'Committee active', type: 'boolean' } ] },
  { key: 'spring', name: 'Spring', properties: [{ key: 'source', label: 'Water source', type: 'text' }, { key: 'households', label: 'Households served', type: 'integer' }] },
  { key: 'kiosk', name: 'Water kiosk', properties: [{ key: 'households', label: 'Households served', type: 'integer' }] },
  { key: 'school', name: 'School', properties: [{ key: 'committee', label: 'Committee active', type: 'boolean' }] },
]
function find(id: string) {
  const site = sites.find((s) => s.id === id)
  if (!site) throw new Refusal(404, 'site.missing', 'There is no such site, or you may not see it.')
  return site
}
function select(query: URLSearchParams) {
  const q = (query.get('q') ?? '').toLowerCase()
  const sort = query.get('sort') ?? ''
  const list = sites.filter((s) => (!query.get('type') || s.body.type === query.get('type')) && (!query.get('status') || (s.body.status || 'unknown') === query.get('status')) && (!query.get('branch') || s.body.branch === query.get('branch')) && (!q || s.body.name.toLowerCase().includes(q) || s.body.code.toLowerCase().includes(q)))
  const key = sort.replace('-', '')
  if (key) list.sort((a: any, b: any) => String(a.body[key] ?? a[key]).localeCompare(String(b.body[key] ?? b[key])) * (sort.startsWith('-') ? -1 : 1))
  return list
}
const entry = (number: number, site: Site, verb: string, more: object = {}) => ({ number, time: ago(number % 7 * 431 + 12), act: number, org, kind: 'site', doc: site.id, revision: site.revision, verb, actor: people[0]!.id, actor_kind: 'account', actor_name: pick(people).name, door: pick(['web', 'openrosa']), from: '127.0.0.1', reason: '', reverts: 0, ...more })
export const acts = sites.slice(0, 60).map((s, i) => ({ act: 9000 - i * 3, entries: i === 4 ? 412 : 1, newest: 9000 - i * 3, entry: { ...entry(9000 - i * 3, s, i % 5 === 4 ? 'create' : 'update'), time: ago(i * 17 + 2), actor_name: people[i % 4]!.name, ...(i % 3 === 1 ? { kind: 'response', door: 'openrosa', verb: 'create' } : {}) }, kinds: i === 4 ? { site: 412 } : { [i % 3 === 1 ? 'response' : 'site']: 1 }, title: s.body.name, undone: i === 9 }))

const imports = new Map<string, any>()
export const fieldRoutes: Routes = {
  'GET /site-types': () => ({ items: types, next: '' }),
  'GET /sites': ({ query }) => {
    const list = select(query)
    const from = Number(query.get('cursor') || 0)
    const limit = Number(query.get('limit') || 50)
    return { items: list.slice(from, from + limit), next: from + limit < list.length ? String(from + limit) : '', total: list.length }
  },
  'GET /sites/points': ({ query }) => {
    const list = select(query)
    return { ids: list.map((s) => s.id), lon: list.map((s) => s.body.location.lon), lat: list.map((s) => s.body.location.lat), status: list.map((s) => s.body.status), type: list.map((s) => s.body.type), names: list.map((s) => s.body.name), codes: list.map((s) => s.body.code) }
  },
  'POST /sites': ({ json }) => {
    const { body } = json()
    if (!body.name) throw new Refusal(422, 'site.invalid', 'The site cannot be saved as it is.', { errors: [{ place: '/name', message: 'A site needs a name.', mend: 'Give the name people use for it.' }] })
    const site = { id: uid('51', sites.length + 1), org, revision: 1, changed: new Date().toISOString(), body: { ...body, code: `WP-${String(sites.length + 1).padStart(5, '0')}-${check(sites.length + 1)}` } }
    sites.push(site)
    return site
  },
  'GET /sites/{id}': ({ params }) => ({ ...find(params.id!), may: { edit: true, delete: true, share: true } }),
  'PUT /sites/{id}': ({ params, json }) => {
    const site = find(params.id!)
    const sent = json()
    const body = sent.body ?? sent
    if (!body.name) throw new Refusal(422, 'site.invalid', 'The site cannot be saved as it is.', { errors: [{ place: '/name', message: 'A site needs a name.', mend: 'Give the name people use for it.' }] })
    Object.assign(site, { body, revision: site.revision + 1, changed: new Date().toISOString() })
    return { ...site, may: { edit: true, delete: true, share: true } }
  },
  'DELETE /sites/{id}': ({ params }) => void sites.splice(sites.indexOf(find(params.id!)), 1),
  'GET /sites/{id}/responses': ({ params }) => ({ items: Array.from({ length: 4 }, (_, i) => ({ id: uid('72', i), org, revision: 1, changed: ago(i * 9000 + 300), body: { survey: uid('5a', 1), site: params.id, state: ['pending', 'final', 'final', 'rejected'][i], submitted: ago(i * 9000 + 300), started: ago(i * 9000 + 320) }, survey_name: i % 2 ? 'Water point visit' : 'Functionality check 2026', enumerator_name: people[i]!.name })), next: '' }),
  'GET /history/{kind}/{id}': ({ params }) => {
    const site = sites.find((s) => s.id === params.id) ?? sites[0]!
    return [
      { entry: entry(8123, site, 'update', { reason: 'Repaired by the area mechanic' }), differences: [{ path: '/status', old: 'not_functional', new: site.body.status }, { path: '/properties/households', old: 80, new: site.body.properties.households }] },
      { entry: entry(5120, site, 'update', { revision: 2, door: 'openrosa' }), differences: [{ path: '/status', old: 'functional', new: 'not_functional' }, { path: '/location', old: { lat: -15.4, lon: 35.3 }, new: site.body.location }] },
      { entry: entry(911, site, 'create', { revision: 1, reason: 'Import of 2,214 sites' }), differences: [{ path: '/name', new: site.body.name }, { path: '/type', new: site.body.type }, { path: '/status', new: 'functional' }] },
    ]
  },
  'GET /activity': ({ query }) => ({ items: acts.slice(0, Number(query.get('limit') || 50)), next: '' }),
  'GET /activity/{entry}': ({ params }) => ({ entry: entry(Number(params.entry), sites[0]!, 'update'), title: sites[0]!.body.name, before: {}, after: {}, differences: [{ path: '/status', old: 'functional', new: 'partly' }], may_undo: true }),
  'POST /activity/{entry}/undo': () => ({}),
  'POST /acts/{act}/undo': ({ params }) => ({ count: 1, act: Number(params.act), conflicts: [] }),
  'GET /ledger/checkpoint': () => ({ note: 'qanat/localhost\n9012\n', size: 9012 + Math.floor((Date.now() / 1000) % 600), root: 'Xb4T1yq0l3Zp7mVYk2t1dQx8c9Vw6sR0aGmE5uNfJh8=', key: 'qanat/localhost+5d1e' }),
  'POST /imports': ({ body, query }) => {
    const lines = body.trim().split(/\r?\n/)
    const columns = (lines[0] ?? '').split(',')
    if (lines.length < 2) throw new Refusal(422, 'import.empty', 'The file has no rows.', { mend: 'The first line names the columns; every further line is one site.' })
    const mapping = Object.fromEntries(columns.map((c) => [c, /lat/i.test(c) ? 'latitude' : /lon/i.test(c) ? 'longitude' : /status/i.test(c) ? 'status' : /name/i.test(c) ? 'name' : c]))
    const made = { id: uid('1a', imports.size + 1), state: 'preview', name: query.get('name') ?? 'sites.csv', rows: lines.length - 1, creates: lines.length - 3, updates: 0, skips: 0, error_rows: 2, done: 0, errors_total: 2, type: query.get('type'), branch: query.get('branch'), mapping, columns, act: 0, errors: [{ row: 17, column: columns[2] ?? 'latitude', value: '-115.2', message: 'A latitude is between -90 and 90.', mend: 'Were latitude and longitude exchanged?' }, { row: 212, column: columns[3] ?? 'longitude', value: 'NA', message: 'This is no number.', mend: 'Leave it empty when it is not known.' }], sample: sites.slice(0, 5).map((s) => s.body) }
    imports.set(made.id, made)
    return made
  },
  'GET /imports': () => ({ items: [...imports.values()].reverse(), next: '' }),
  'GET /imports/{id}': ({ params }) => {
    const one = imports.get(params.id!)
    if (!one) throw new Refusal(404, 'import.missing', 'There is no such import.')
    if (one.state === 'running') { one.done = Math.min(one.rows, one.done + Math.ceil(one.rows / 6)); if (one.done === one.rows) one.state = 'done' }
    return one
  },
  'POST /imports/{id}/run': ({ params }) => Object.assign(imports.get(params.id!), { state: 'running', done: 0, act: 9100 }),
  'POST /imports/{id}/undo': ({ params }) => Object.assign(imports.get(params.id!), { state: 'undone' }),
}
