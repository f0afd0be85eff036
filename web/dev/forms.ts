import { readFileSync } from 'node:fs'
import { sites } from './field'
import { Refusal, type Routes } from './fixtures'
import { ago, branches, org, people, pick, svg, uid } from './world'

// The schema as the server reads it out of an XForm.
const schema = JSON.parse(readFileSync(new URL('./water-point-visit.json', import.meta.url), 'utf8'))
const states = ['pending', 'final', 'final', 'pending', 'rejected', 'final', 'draft', 'final'] as const
const names = ['Water point visit', 'Functionality check 2026', 'School sanitation']
const surveys = names.map((name, i) => ({ id: uid('5a', i + 1), org, revision: 3 - i, changed: ago(900 * i + 40), entry: 8800 + i, body: { name, branch: branches[i]!.id, form_id: ['wp_visit', 'functionality', 'school_wash'][i]!, form: uid('f0', i + 1) } }))
const phones: any[] = [['Blue Tecno', 1], ['Samsung A05, Lakeshore', 2], ['Old Itel', 3]].map(([name, p], i) => ({ id: uid('4c', i + 1), org, revision: 1, changed: ago(5000 * i + 900), body: { account: people[p as number]!.id, name, revoked: i === 2 } }))
const deployments: any[] = [
  { id: uid('d0', 1), org, revision: 2, changed: ago(400), body: { survey: surveys[0]!.id, name: 'Rainy season 2026', active: true, stages: [{ name: 'Supervisor', approvers: [`group:${branches[1]!.id}/managers`] }, { name: 'District office', approvers: [`person:${people[0]!.id}`], no_edit: true }], enumerators: [`group:${org}/members`, `person:${people[2]!.id}`, `team:${uid('0d', 1)}`], viewers: [`branch:${org}`] } },
  { id: uid('d0', 2), org, revision: 5, changed: ago(90000), body: { survey: surveys[0]!.id, name: 'Pilot', active: false, stages: [], enumerators: [`person:${people[1]!.id}`] } },
]
const answers = (i: number, site: any) => ({
  wp_name: site.body.name, region: pick(['north', 'south']), district: 'n1', location: { ...site.body.location, altitude: 812, accuracy: 4.2 }, wptype: pick(['borehole', 'tap', 'well']), problems: i % 2 ? ['leak', 'other'] : ['dry'], ...(i % 2 ? { problem_other: 'The rods are worn, and the apron has a long crack on the side of the drain' } : {}),
  tests: { ph: 6.8, turbidity: 4.5, ph_ok: 'yes' }, handpump: [{ part: 'Rising main', qty: 3 }, { part: 'U-seal', qty: 1 }], photo: 'pump.jpg', install_date: '2009-06-14', open_time: '06:30:00', visit_dt: '2026-11-20T09:42:00+02:00', score: 7, doc: 'report.pdf', sign: 'sign.png', pipe: [{ lat: -15.38, lon: 35.32 }, { lat: -15.381, lon: 35.3212 }, { lat: -15.3822, lon: 35.3219 }],
  start: '2026-11-20T09:31:02+02:00', end: '2026-11-20T09:47:40+02:00', today: '2026-11-20', deviceid: 'collect:Zs81mQ', meta: { instanceID: `uuid:7f1c-${i}`, instanceName: site.body.name },
})
const responses: any[] = Array.from({ length: 130 }, (_, i) => {
  const site = sites[(i * 17) % sites.length]!
  const state = states[i % states.length]!
  const at = i * 170 + 12
  return {
    id: uid('72', i), org, revision: 1 + (i % 3), entry: 8700 - i, changed: ago(at), survey_name: names[i % 2], site_name: site.body.name, enumerator_name: people[i % 4]!.name,
    body: {
      survey: surveys[i % 2]!.id, deployment: deployments[0].id, form: uid('f0', 1), site: i % 9 === 5 ? '' : site.id, instance_id: `uuid:7f1c-${i}`, state, enumerator: people[i % 4]!.id, submission: uid('5b', i), answers: answers(i, site),
      attachments: [{ name: 'pump.jpg', blob: 'x', size: 412_311, type: 'image/jpeg' }, { name: 'sign.png', blob: 'y', size: 8_120, type: 'image/png' }, { name: 'report.pdf', missing: true }, { name: 'apron.jpg', blob: 'z', size: 512_311, type: 'image/jpeg', unexpected: true }],
      approvals: state === 'final' ? [{ stage: 'Supervisor', by: people[1]!.id, name: people[1]!.name, at: ago(at - 8) }, { stage: 'District office', by: people[0]!.id, name: people[0]!.name, at: ago(at - 9), override: true }] : i % 3 === 0 && state === 'pending' ? [{ stage: 'Supervisor', by: people[1]!.id, name: people[1]!.name, at: ago(at - 8) }] : [],
      rejection: state === 'rejected' ? { by: people[0]!.id, name: people[0]!.name, at: ago(at - 5), reason: 'The photo shows another pump. Please go again, and take the number plate too.' } : undefined,
      location: site.body.location, started: ago(at + 30), ended: ago(at + 14), submitted: state === 'draft' ? '' : ago(at + 1), flags: i % 4 === 0 ? [{ path: '/data/handpump[2]/qty', value: 'one', problem: 'not a whole number' }] : [],
    },
  }
})
const find = (id: string) => responses.find((r) => r.id === id) ?? (() => { throw new Refusal(404, 'response.missing', 'There is no such response, or you may not see it.') })()
const move = (id: string, state: string, more: object = {}) => {
  const r = find(id)
  r.revision++
  r.changed = new Date().toISOString()
  Object.assign(r.body, { state, ...more })
  return r
}
const picture = (seed: number) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 480"><rect width="640" height="480" fill="#cfe3ea"/><path d="M0 300 640 250v230H0z" fill="${seed ? '#b9a878' : '#a9b581'}"/><path d="M290 130h60l12 250h-84z" fill="#3c6a77"/><path d="M340 150 500 90l6 14-160 66z" fill="#2a4d57"/><path d="M288 210h-70v16h70z" fill="#3c6a77"/><rect x="200" y="376" width="240" height="26" rx="6" fill="#8d8a80"/></svg>`

export const formRoutes: Routes = {
  'GET /surveys': () => ({ items: surveys.map((s, i) => ({ ...s, counts: i === 2 ? {} : counts(s.id) })), next: '' }),
  'GET /surveys/{id}': ({ params }) => {
    const s = surveys.find((x) => x.id === params.id)
    if (!s) throw new Refusal(404, 'survey.missing', 'There is no such survey, or you may not see it.')
    return { ...s, counts: counts(s.id), may: { edit: true, deploy: true } }
  },
  'PUT /surveys/{id}': ({ params, json }) => Object.assign(surveys.find((x) => x.id === params.id)!, json()),
  'POST /surveys': ({ body }) => {
    if (!body.includes('wp_')) throw new Refusal(422, 'form.invalid', 'The form cannot be used as it is.', { mend: 'Mend what is listed, and upload it again.', errors: [{ place: 'line 41', message: 'The bind /data/tests/ph names a question that is not there.', mend: 'Remove the bind, or add the question.' }] })
    return surveys[0]
  },
  'GET /surveys/{id}/form': () => ({ id: uid('f0', 1), org, revision: 1, changed: ago(4000), body: { survey: surveys[0]!.id, form_id: schema.id, version: schema.version, title: schema.title, hash: '0c1f', size: 9000, schema } }),
  'GET /deployments/{id}': ({ params }) => deployments.find((d) => d.id === params.id),
  'POST /surveys/{id}/form': () => ({}),
  'GET /surveys/{id}/versions': ({ params }) => ({ items: [{ id: uid('f0', Number(params.id!.slice(-1))), version: '2026112101', name: 'Water point visit', hash: '9b0c7d52c8b14f6f2a6b3b8a0e9d1c4e', made: ago(4000) }, { id: uid('f0', 9), version: '2026030701', name: 'Water point visit', hash: '1c4e9b0c7d52c8b14f6f2a6b3b8a0e9d', made: ago(300000) }], next: '' }),
  'GET /surveys/{id}/deployments': ({ params }) => ({ items: deployments.filter((d) => d.body.survey === params.id), next: '' }),
  'POST /surveys/{id}/deployments': ({ params, json }) => {
    const body = json()
    if (!body.name) throw new Refusal(422, 'deployment.name', 'The deployment cannot be saved as it is.', { errors: [{ place: '/name', message: 'A deployment needs a name.', mend: 'Give it a short name.' }] })
    const made = { id: uid('d0', deployments.length + 1), org, revision: 1, changed: new Date().toISOString(), body: { ...body, survey: params.id } }
    deployments.push(made)
    return made
  },
  'PUT /deployments/{id}': ({ params, json }) => {
    const d = deployments.find((x) => x.id === params.id)
    return Object.assign(d, { body: json().body, revision: d.revision + 1 })
  },
  'GET /phones': () => ({ items: phones, next: '' }),
  'POST /phones': ({ json }) => {
    const { account, name } = json()
    const phone = { id: uid('4c', phones.length + 1), org, revision: 1, changed: new Date().toISOString(), body: { account, name } }
    phones.push(phone)
    return { phone, url: `https://localhost:8443/v1/key/Xb4T1yq0l3Zp7mVYk2t1dQx8c9Vw6sR0aGmE5uNfJh8Xb4T1yq0l3Zp7mVYk2t1d/projects/${org}`, qr: svg('phone') }
  },
  'DELETE /phones/{id}': ({ params }) => { phones.find((p) => p.id === params.id).body.revoked = true },
  'GET /responses': ({ query }) => {
    const list = responses.filter((r) => (!query.get('state') || r.body.state === query.get('state')) && (!query.get('survey') || r.body.survey === query.get('survey')) && (!query.get('site') || r.body.site === query.get('site')) && (!query.get('q') || r.site_name.toLowerCase().includes(query.get('q')!.toLowerCase())))
    const from = Number(query.get('cursor') || 0)
    const limit = Number(query.get('limit') || 50)
    return { items: list.slice(from, from + limit).map((r) => ({ ...r, body: { ...r.body, answers: undefined } })), next: from + limit < list.length ? String(from + limit) : '', total: list.length }
  },
  'GET /responses/{id}': ({ params }) => {
    const r = find(params.id!)
    const s = r.body.state
    return { doc: r, site_name: r.site_name, survey_name: r.survey_name, enumerator_name: r.enumerator_name, form: schema, may: { submit: s === 'draft' || s === 'rejected', approve: s === 'pending', reject: s === 'pending' || s === 'final', recall: s === 'pending', edit: s !== 'final', delete: true } }
  },
  'PUT /responses/{id}': ({ params, json }) => move(params.id!, find(params.id!).body.state, json()),
  'DELETE /responses/{id}': ({ params }) => void responses.splice(responses.indexOf(find(params.id!)), 1),
  'POST /responses/{id}/approve': ({ params }) => move(params.id!, 'final'),
  'POST /responses/{id}/reject': ({ params, json }) => move(params.id!, 'rejected', { approvals: [], rejection: { name: people[0]!.name, by: people[0]!.id, at: new Date().toISOString(), reason: json().reason } }),
  'POST /responses/{id}/submit': ({ params }) => move(params.id!, 'pending', { rejection: undefined }),
  'POST /responses/{id}/recall': ({ params }) => move(params.id!, 'draft'),
  'GET /responses/{id}/submission.xml': () => `<?xml version="1.0"?>\n<data xmlns:orx="http://openrosa.org/xforms" id="wp_visit" version="2026112101">\n  <start>2026-11-20T09:31:02+02:00</start>\n  <wp_name>Songani Borehole 12</wp_name>\n  <orx:meta><orx:instanceID>uuid:7f1c</orx:instanceID></orx:meta>\n</data>\n`,
  'GET /responses/{id}/files/{name}': ({ params }) => picture(params.name === 'pump.jpg' ? 0 : 1),
  'GET /quarantine': () => ({ items: quarantine, next: '' }),
  'GET /quarantine/{id}/submission.xml': () => '<?xml version="1.0"?>\n<data id="wp_visit" version="2025010101"/>\n',
  'POST /quarantine/{id}/release': ({ params }) => {
    const at = quarantine.findIndex((q) => q.id === params.id)
    if (at === 1) throw new Refusal(409, 'submission.form', 'The version 2025010101 of wp_visit is still unknown.', { mend: 'Upload this version of the form, then release the submission again.' })
    quarantine.splice(at, 1)
  },
}
const counts = (survey: string) => responses.reduce((c, r) => { if (r.body.survey === survey) c[r.body.state] = (c[r.body.state] ?? 0) + 1; return c }, {} as Record<string, number>)
const quarantine: any[] = [
  { id: uid('5b', 900), org, revision: 1, changed: ago(70), body: { enumerator: people[3]!.id, form_id: 'wp_visit', instance_id: 'uuid:91', phone: phones[2].id, received: ago(70), sha256: 'f1', quarantine: { reason: 'The phone may not fill in this survey any more.' } } },
  { id: uid('5b', 901), org, revision: 1, changed: ago(1470), body: { enumerator: people[1]!.id, form_id: 'wp_visit', instance_id: 'uuid:92', phone: phones[0].id, received: ago(1470), sha256: 'f2', quarantine: { reason: 'The form version 2025010101 is not known here.' } } },
]
