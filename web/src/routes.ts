import { createRouter, createWebHistory, type RouteRecordRaw } from 'vue-router'
import { useSession } from './session/session'

declare module 'vue-router' {
  interface RouteMeta {
    title?: string
    /** Shown without a session, and without the shell. */
    open?: boolean
    /** The page fills the screen; the shell gives no padding. */
    full?: boolean
  }
}

// Every page of the portal.
const routes: RouteRecordRaw[] = [
  { path: '/', name: 'home', meta: { title: 'Overview' }, component: () => import('./home/home.vue') },

  { path: '/sign-in', name: 'sign-in', meta: { title: 'Sign in', open: true }, component: () => import('./session/sign-in.vue') },
  { path: '/join', name: 'join', meta: { title: 'Join', open: true }, component: () => import('./session/join.vue') },
  { path: '/sign-in/return', name: 'sign-in-return', meta: { title: 'Sign in', open: true }, component: () => import('./session/return.vue') },
  { path: '/welcome', name: 'welcome', meta: { title: 'Welcome', open: true }, component: () => import('./session/welcome.vue') },

  { path: '/sites', name: 'sites', meta: { title: 'Sites', full: true }, component: () => import('./site/list.vue') },
  { path: '/sites/new', name: 'site-new', meta: { title: 'New site' }, component: () => import('./site/edit.vue') },
  { path: '/sites/import', name: 'site-import', meta: { title: 'Import sites' }, component: () => import('./import/import.vue') },
  { path: '/sites/import/:id', name: 'site-import-one', meta: { title: 'Import sites' }, component: () => import('./import/import.vue'), props: true },
  { path: '/sites/:id', name: 'site', meta: { title: 'Site' }, component: () => import('./site/view.vue'), props: true },
  { path: '/sites/:id/edit', name: 'site-edit', meta: { title: 'Edit site' }, component: () => import('./site/edit.vue'), props: true },

  { path: '/surveys', name: 'surveys', meta: { title: 'Surveys' }, component: () => import('./survey/list.vue') },
  { path: '/surveys/new', name: 'survey-new', meta: { title: 'New survey' }, component: () => import('./survey/new.vue') },
  { path: '/surveys/phones', name: 'phones', meta: { title: 'Phones' }, component: () => import('./survey/phones.vue') },
  { path: '/surveys/:id', name: 'survey', meta: { title: 'Survey' }, component: () => import('./survey/view.vue'), props: true },

  { path: '/responses', name: 'responses', meta: { title: 'Responses' }, component: () => import('./response/list.vue') },
  { path: '/responses/quarantine', name: 'quarantine', meta: { title: 'Quarantine' }, component: () => import('./response/quarantine.vue') },
  { path: '/responses/:id', name: 'response', meta: { title: 'Response' }, component: () => import('./response/view.vue'), props: true },

  { path: '/devices', name: 'devices', meta: { title: 'Devices' }, component: () => import('./device/list.vue') },
  { path: '/devices/register', name: 'device-register', meta: { title: 'Register devices' }, component: () => import('./device/register.vue') },
  { path: '/devices/refused', name: 'refused', meta: { title: 'Refused connections' }, component: () => import('./device/refused.vue') },
  { path: '/devices/:id', name: 'device', meta: { title: 'Device' }, component: () => import('./device/view.vue'), props: true },

  { path: '/activity', name: 'activity', meta: { title: 'Activity' }, component: () => import('./activity/list.vue') },
  { path: '/activity/acts/:act', name: 'act', meta: { title: 'One act' }, component: () => import('./activity/act.vue'), props: true },
  { path: '/activity/:entry', name: 'entry', meta: { title: 'One change' }, component: () => import('./activity/entry.vue'), props: true },

  { path: '/organization', name: 'organization', meta: { title: 'Organization' }, component: () => import('./organization/view.vue') },
  { path: '/account', name: 'account', meta: { title: 'Your account' }, component: () => import('./account/view.vue') },
  { path: '/server', name: 'server', meta: { title: 'Server' }, component: () => import('./server/view.vue') },
  { path: '/ledger', name: 'ledger', meta: { title: 'Ledger' }, component: () => import('./ledger/view.vue') },

  { path: '/ui', name: 'ui', meta: { title: 'Design system', open: true }, component: () => import('./ui/gallery/gallery.vue') },
  { path: '/:rest(.*)*', name: 'nowhere', meta: { title: 'Not found' }, component: () => import('./shell/nowhere.vue') },
]

export const router = createRouter({
  history: createWebHistory(),
  routes,
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
})

router.beforeEach(async (to) => {
  if (to.meta.open) return true
  const { load } = useSession()
  const session = await load().catch(() => null)
  if (session && !session.needs) return to.path === '/' && session.operator && !session.organizations.length ? { name: 'server' } : true // who only runs the server
  return { name: 'sign-in', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
})
router.afterEach((to) => { document.title = to.meta.title ? `${to.meta.title} · Qanat` : 'Qanat' })
