// Walks through the end of a theft as the admin who is left: he ends the sessions of the stolen account, revokes its token,
// looks at what an undo of all that both did would do, does it, and reads the story under Activity. It fails on what a user would see or a
// browser complains of. Screenshots go to QANAT_OUT, to be looked at.
//
//   QANAT_BASE=https://… QANAT_COOKIE=… QANAT_VICTIM='Amina Odhiambo' QANAT_TOKEN=sync QANAT_OUT=dir node theft.mjs
import { chromium } from 'playwright-core'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'

const { QANAT_BASE: base, QANAT_COOKIE: cookie, QANAT_VICTIM: victim, QANAT_TOKEN: token, QANAT_OUT: out, QANAT_CHROMIUM: executablePath = '/usr/bin/chromium' } = process.env
mkdirSync(out, { recursive: true })
for (const old of readdirSync(out).filter((name) => name.endsWith('.png'))) rmSync(`${out}/${old}`)
const problems = []
let doing = ''
const complain = (what) => problems.push(`${doing}: ${what}`)

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] })
const context = await browser.newContext({ baseURL: base, ignoreHTTPSErrors: true, locale: 'en-GB', timezoneId: 'Africa/Nairobi', viewport: { width: 1280, height: 900 } })
await context.addCookies([{ name: '__Host-qanat', value: cookie, url: base, secure: true, httpOnly: true, sameSite: 'Lax' }])
const page = await context.newPage()
page.setDefaultTimeout(15_000)
page.on('console', (m) => { if (m.type() === 'error') complain(`console: ${m.text()} ${m.location().url ?? ''}`) })
page.on('pageerror', (e) => complain(`uncaught: ${e.message}`))
page.on('response', (r) => { if (r.status() >= 400) complain(`${r.status()} ${r.request().method()} ${r.url()}`) })

let shots = 0
async function look(what, widths = [1280, 390]) {
  await page.waitForLoadState('networkidle').catch(() => {})
  await page.locator('.shimmer').first().waitFor({ state: 'detached' }).catch(() => complain(`${what}: still loading`))
  shots++
  for (const width of widths) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 })
    await page.waitForTimeout(400)
    const wide = await page.evaluate(() => ({ has: document.documentElement.scrollWidth, may: window.innerWidth }))
    if (wide.has > wide.may) complain(`${what} is ${wide.has} pixels wide, the screen ${wide.may}`)
    await page.screenshot({ path: `${out}/theft-${String(shots).padStart(2, '0')}-${what}-${width}.png` })
  }
  await page.setViewportSize({ width: 1280, height: 900 })
}
async function step(what, fn) {
  doing = what
  const began = Date.now()
  await fn()
  console.log(`${what}: ${((Date.now() - began) / 1000).toFixed(1)} s`)
}
const dialog = page.getByRole('dialog')
const press = (name) => dialog.getByRole('button', { name }).last().click()

/** Undoes all of whoever is chosen on the page: preview, reason, the doing, what came of it. */
async function undoAll(who, how) {
  await page.getByRole('button', { name: how }).first().click()
  await dialog.getByRole('button', { name: /^Undo [\d,]+ changes$/ }).waitFor()
  await look(`${who}-preview`)
  await dialog.getByLabel('Why?').fill('The account was stolen')
  await press(/^Undo [\d,]+ changes$/)
  await page.screenshot({ path: `${out}/theft-${who}-under-way.png` })
  await dialog.getByText(/changes were taken back/).waitFor({ timeout: 60_000 })
  await look(`${who}-undone`)
  await dialog.getByRole('button', { name: 'Close' }).last().click()
}

let failure
try {
  await step('see what happened', async () => {
    await page.goto('/activity')
    await page.getByRole('listitem').filter({ hasText: victim }).first().waitFor()
    await look('activity-of-the-theft')
  })
  await step('end the sessions of the stolen account', async () => {
    await page.goto('/organization')
    await page.getByRole('button', { name: `More about ${victim}` }).click()
    await page.getByRole('menuitem', { name: /End all sessions/ }).click()
    await dialog.getByLabel('Reason').fill('Stolen session')
    await look('end-sessions')
    await press('End them all')
    await page.getByText(/sessions? ha(s|ve) ended/).waitFor()
  })
  await step('revoke the token that it made', async () => {
    await page.goto('/organization?tab=tokens')
    const row = page.getByRole('row').filter({ hasText: token })
    await row.getByRole('button', { name: 'Revoke' }).click()
    await dialog.getByLabel('Reason').fill('Made with a stolen account')
    await look('revoke-token', [1280])
    await press('Revoke')
    await page.getByText('The token has ended.').waitFor()
    await look('tokens')
  })
  await step('undo what the token did', async () => {
    await page.goto('/activity?by=token')
    await page.getByRole('button', { name: /^What changed/ }).first().click()
    await page.getByRole('button', { name: `All by ${token}`, exact: true }).click()
    await undoAll('token', 'Undo all of this…')
  })
  await step('undo what the account did', async () => {
    await page.goto('/activity?kind=token&verb=create') // it began with the token
    await page.getByRole('button', { name: /^What changed/ }).first().click()
    await look('where-it-began')
    await undoAll('account', `Undo all by ${victim} since this…`)
  })
  await step('read the story', async () => {
    await page.goto('/activity?text=stolen')
    await page.getByText(/ended all sessions/).first().waitFor()
    await look('story')
    await page.goto('/sites')
    await page.getByText('Borehole', { exact: false }).first().waitFor()
    await look('sites-again', [1280])
    await page.goto('/responses')
    await page.locator('tbody tr').first().waitFor()
    await look('responses-again', [1280])
    await page.goto('/account')
    await page.getByRole('heading', { level: 1 }).first().waitFor()
    await look('own-sessions')
  })
} catch (error) {
  failure = error
  await page.screenshot({ path: `${out}/failed.png` }).catch(() => {})
}
await browser.close()
for (const p of new Set(problems)) console.error(p)
if (failure) console.error(`${doing}: ${failure.message}`)
process.exit(failure || problems.length ? 1 : 0)
