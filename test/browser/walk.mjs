// Walks through the demo as a new user does, in a real browser: first at a desk, then on a phone. It fails on what a user would
// see or a browser complains of: errors in the console, violations of the content security policy, failed requests, pages that
// are wider than the screen. Screenshots go to QANAT_OUT, to be looked at.
//
//   QANAT_LINK=https://…/welcome#… QANAT_SITE='Bwaila Munda' QANAT_OUT=dir node walk.mjs
import { chromium } from 'playwright-core'
import { createHmac } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'

const { QANAT_LINK: link, QANAT_SITE: site, QANAT_OUT: out, QANAT_CHROMIUM: executablePath = '/usr/bin/chromium' } = process.env
const base = new URL(link).origin
mkdirSync(out, { recursive: true })
for (const old of readdirSync(out).filter((name) => name.endsWith('.png'))) rmSync(`${out}/${old}`)

const problems = []
let doing = ''
const complain = (what) => problems.push(`${doing}: ${what}`)

/** The code that an authenticator app shows (RFC 6238). */
function totp(secret) {
  const bits = [...secret.replace(/\s/g, '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)))
  const sum = createHmac('sha1', Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))).update(step).digest()
  return String((sum.readUInt32BE(sum[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

/** A browser window; every complaint of its pages is kept. */
async function open(name, options) {
  const context = await browser.newContext({ baseURL: base, ignoreHTTPSErrors: true, locale: 'en-GB', timezoneId: 'Africa/Blantyre', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`)))
  const asksWhoIAm = (url) => url.endsWith('/api/v1/session') // nobody, before the sign-in
  page.on('console', (m) => { if (m.type() === 'error' && !asksWhoIAm(m.location().url ?? '')) complain(`console: ${m.text()} ${m.location().url ?? ''}`) })
  page.on('pageerror', (e) => complain(`uncaught: ${e.message}`))
  page.on('requestfailed', (r) => { if (r.failure()?.errorText !== 'net::ERR_ABORTED') complain(`request failed: ${r.method()} ${r.url()} ${r.failure()?.errorText}`) })
  page.on('response', (r) => { if (r.status() >= 400 && !(r.status() === 401 && asksWhoIAm(r.url()))) complain(`${r.status()} ${r.request().method()} ${r.url()}`) })
  page.on('request', (r) => { const url = new URL(r.url()); if (url.origin !== base && !['blob:', 'data:'].includes(url.protocol)) complain(`a foreign origin: ${r.url()}`) })
  let shots = 0
  return {
    context, page,
    /** Waits until the page has settled, photographs it and measures it. */
    async look(what) {
      await page.waitForLoadState('networkidle').catch(() => {})
      if (!page.url().endsWith('/ui')) await page.locator('.shimmer').first().waitFor({ state: 'detached' }).catch(() => complain(`${what}: still loading`))
      const wide = await page.evaluate(() => ({ has: document.documentElement.scrollWidth, may: window.innerWidth }))
      if (wide.has > wide.may) complain(`${what} is ${wide.has} pixels wide, the screen ${wide.may}`)
      await page.screenshot({ path: `${out}/${name}-${String(++shots).padStart(2, '0')}-${what}.png` })
    },
  }
}

async function step(what, fn) {
  doing = what
  const began = Date.now()
  await fn()
  console.log(`${what}: ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

const siteURL = /\/sites\/[0-9a-f-]{36}$/
let failure
try {
  const desk = await open('desk', { viewport: { width: 1280, height: 800 } })
  const { page, look } = desk
  const main = page.getByRole('navigation', { name: 'Main' }).first()

  await step('sign in with the link and a second factor', async () => {
    await page.goto(link)
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    if (new URL(page.url()).hash) complain('the token stays in the address bar')
    await look('welcome')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Use an authenticator app' }).click()
    await page.getByRole('img', { name: 'QR code' }).waitFor()
    await page.getByText('It cannot be scanned?').click()
    await look('second-factor')
    const secret = await page.locator('pre code').innerText()
    await page.getByLabel('Code of six digits').fill(totp(secret))
    await page.getByRole('button', { name: 'Later' }).click() // recovery codes
    await page.waitForURL(`${base}/`)
    await page.getByText('Latest activity').waitFor()
    await look('overview')
  })

  await step('find a site in the list and on the map', async () => {
    await main.getByRole('link', { name: 'Sites' }).click()
    await page.getByRole('region', { name: 'Map of sites' }).locator('canvas').first().waitFor()
    await look('sites')
    const count = Number((await page.getByRole('heading', { level: 1 }).innerText()).replace(/\D/g, ''))
    if (count < 2000) complain(`the district has ${count} sites, 2,000 are promised`)
    await page.getByLabel('Search').fill(site)
    const rows = page.getByRole('region', { name: 'List of sites' }).locator('tbody tr')
    const row = rows.filter({ has: page.getByText(site, { exact: true }) }).first()
    await row.waitFor()
    await look('sites-found')
    // Its code finds it alone; then it stands in the middle of the map.
    await page.getByLabel('Search').fill((await row.innerText()).match(/\b\d{5,}\b/)[0])
    for (let n = 0; n < 50 && await rows.count() !== 1; n++) await page.waitForTimeout(100) // waitForFunction evaluates text, which the policy forbids
    await page.waitForTimeout(1500) // the map moves there
    const map = page.getByRole('region', { name: 'Map of sites' })
    const box = await map.boundingBox()
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2)
    await map.getByRole('link', { name: 'Open' }).waitFor()
    await look('site-on-the-map')
    await map.getByRole('link', { name: 'Open' }).click()
    await page.waitForURL(siteURL)
    await page.getByRole('heading', { level: 1, name: site }).waitFor()
    await look('site')
  })
  const here = page.url()

  await step('see live readings', async () => {
    let newest = 0, grown = 0
    page.on('response', async (r) => {
      if (!r.url().includes('/readings') || r.status() !== 200) return
      const { series } = await r.json().catch(() => ({ series: [] }))
      const last = Math.max(0, ...series.flatMap((s) => s.ts.slice(-1)))
      if (newest && last > newest) grown++
      newest = Math.max(newest, last)
    })
    await page.getByRole('tab', { name: /Devices/ }).click()
    await page.getByRole('tabpanel').locator('canvas').first().waitFor()
    await look('live-readings')
    for (let n = 0; n < 120 && !grown; n++) await page.waitForTimeout(500)
    if (!newest) complain('no reading is shown')
    else if (!grown) complain('no new reading within a minute: nothing is live')
  })

  await step('see responses', async () => {
    await main.getByRole('link', { name: 'Responses' }).click()
    await page.locator('tbody tr').nth(4).waitFor()
    await look('responses')
    await page.locator('tbody tr').first().getByRole('link').first().click()
    await page.waitForURL(/\/responses\/[0-9a-f-]{36}$/)
    await page.getByText('Answers', { exact: true }).waitFor()
    await look('response')
    await page.goto(here)
    await page.getByRole('tab', { name: /Responses/ }).click()
    await look('responses-of-the-site')
  })

  const renamed = `${site} by the market`
  await step('edit the site', async () => {
    await page.goto(here)
    await page.getByRole('link', { name: 'Edit' }).click()
    await page.getByLabel('Name', { exact: true }).fill(renamed)
    await look('edit')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.waitForURL(siteURL)
    await page.getByRole('heading', { level: 1, name: renamed }).waitFor()
    await look('edited')
  })

  await step('see the change under Activity, undo it', async () => {
    await main.getByRole('link', { name: 'Activity' }).click()
    const change = page.getByRole('listitem').filter({ hasText: `changed site ${renamed}` }).first()
    await change.waitFor()
    await change.getByRole('button', { name: /What changed/ }).click()
    await change.getByText(site, { exact: true }).first().waitFor()
    await look('activity')
    await change.getByRole('button', { name: 'Undo', exact: true }).last().click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Why?').fill('It is by the school')
    await look('undo')
    await dialog.getByRole('button', { name: 'Undo' }).click()
    await dialog.getByText('The change was taken back.').waitFor()
    await look('undone')
    await dialog.getByRole('button', { name: 'Close' }).first().click()
    await page.goto(here)
    await page.getByRole('heading', { level: 1, name: site, exact: true }).waitFor()
    await page.getByRole('tab', { name: 'History' }).click()
    await page.getByText('It is by the school').waitFor()
    await look('history')
  })

  const places = ['/surveys', '/surveys/phones', '/responses/quarantine', '/devices', '/devices/refused', '/devices/register', '/sites/import', '/sites/new', '/organization', '/account', '/ledger', '/ui']
  const visit = (window, all) => async () => {
    for (const place of all) {
      await window.page.goto(place)
      await window.page.getByRole('heading', { level: 1 }).first().waitFor()
      await window.look(place.replace(/[0-9a-f-]{36}/, 'one').replaceAll('/', ' ').trim().replaceAll(' ', '-') || 'overview')
    }
  }
  await step('look at the other pages', visit(desk, places))

  const phone = await open('phone', { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, storageState: await desk.context.storageState() })
  await step('look at every page on a phone', visit(phone, ['/', '/sites', here.replace(base, ''), `${here.replace(base, '')}/edit`, '/responses', '/activity', ...places]))
  await step('find the site on a phone', async () => {
    await phone.page.goto('/')
    await phone.page.getByRole('navigation', { name: 'Main' }).last().getByRole('link', { name: 'Sites' }).click()
    await phone.page.getByRole('button', { name: 'List', exact: true }).click()
    await phone.page.getByLabel('Search').fill(site)
    const found = phone.page.getByRole('region', { name: 'List of sites' }).locator('a:visible').filter({ has: phone.page.getByText(site, { exact: true }) }).first()
    await found.waitFor()
    await phone.look('sites-list')
    await found.click()
    await phone.page.waitForURL(siteURL)
    await phone.page.getByRole('tab', { name: /Devices/ }).click()
    await phone.page.getByRole('tabpanel').locator('canvas').first().waitFor()
    await phone.look('live-readings')
  })
} catch (error) {
  failure = error
  for (const context of browser.contexts()) {
    for (const page of context.pages()) await page.screenshot({ path: `${out}/failed.png` }).catch(() => {})
  }
}
await browser.close()
for (const p of new Set(problems)) console.error(p)
if (failure) console.error(`${doing}: ${failure.message}`)
process.exit(failure || problems.length ? 1 : 0)
