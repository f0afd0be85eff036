import { Refusal, type Routes } from './fixtures'
import { branches, org, people, svg, uid } from './world'

const session = (needs = '') => ({ account: people[0], needs, organizations: [{ id: org, name: 'Zomba Water Office', groups: ['admins'] }, { id: uid('0a', 2), name: 'Machinga Schools WASH', groups: ['viewers'] }], server: 'localhost' })
const signedIn = 'qanat=yes; Path=/; HttpOnly; SameSite=Strict'

export const peopleRoutes: Routes = {
  'GET /session': ({ cookie }) => {
    if (cookie.includes('qanat=out')) throw new Refusal(401, 'session.none', 'You are not signed in.')
    return session()
  },
  'POST /session': ({ json }) => {
    const { email, password } = json()
    if (password === 'wrong') throw new Refusal(401, 'session.refused', 'The address and the password do not belong together.', { mend: 'Check both. After five attempts you have to wait a little.' })
    return session(email.startsWith('new') ? 'totp-setup' : 'code')
  },
  'POST /session/code': ({ json, set }) => {
    if (json().code === '000000') throw new Refusal(401, 'session.code', 'This code is not right, or it has been used.', { mend: 'Wait for the next one; check that the clock of your phone is right.' })
    set(signedIn)
    return session()
  },
  'DELETE /session': ({ set }) => void set('qanat=out; Path=/'),
  'POST /session/totp': () => ({ secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', uri: 'otpauth://totp/Qanat:grace@zomba.example', qr: svg('otpauth') }),
  'POST /session/totp/confirm': ({ set }) => { set(signedIn); return session() },
  'POST /invitations/look': ({ json }) => {
    if (json().token === 'old') throw new Refusal(404, 'invitation.gone', 'This link has been used, or it has run out.', { mend: 'Ask for a new one.' })
    return { organization: 'Zomba Water Office', branch: 'Lakeshore', group: 'managers', name: 'Thoko Banda', email: 'thoko@zomba.example', expires: new Date(Date.now() + 86_400_000).toISOString(), existing: false }
  },
  'POST /invitations/accept': () => session('totp-setup'),
  'GET /organizations': () => ({ items: [{ id: org, name: 'Zomba Water Office' }], next: '' }),
  'GET /organizations/{id}': () => ({ organization: { id: org, org, revision: 1, changed: new Date().toISOString(), body: { name: 'Zomba Water Office' } }, branches: branches.slice(1).map(({ id, ...body }) => ({ id, org, revision: 1, changed: new Date().toISOString(), body })), teams: [{ id: uid('0d', 1), org, revision: 1, changed: '', body: { branch: branches[1]!.id, name: 'Repair crew' } }], counts: { sites: 2214, devices: 12, members: 4 } }),
  'GET /organizations/{id}/members': () => ({ items: people.map((account, i) => ({ account, memberships: [{ id: uid('0e', i), branch: branches[i % branches.length]!.id, branch_path: branches[i % branches.length]!.name, group: ['admins', 'managers', 'members', 'viewers'][i] }] })), next: '' }),
  'POST /organizations/{id}/invitations': () => ({ url: 'https://localhost:8443/welcome#k3J8sQ0vE2pXn5R7' }),
  'GET /health': () => ({ ok: true, version: 'dev' }),
}
