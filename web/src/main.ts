import { createApp } from 'vue'
import './ui/theme.css'
import { onSignedOut } from './api/client'
import App from './shell/App.vue'
import { router } from './routes'
import { useSession } from './session/session'
import { applyTheme } from './ui/theme'

applyTheme()
onSignedOut(() => {
  const { signedIn, forget } = useSession()
  if (!signedIn.value) return
  forget()
  void router.push({ name: 'sign-in', query: { next: router.currentRoute.value.fullPath } })
})
// After an update of the server the parts of an older page are gone; the page is loaded anew, once.
addEventListener('vite:preloadError', () => {
  const last = Number(sessionStorage.getItem('qanat-reload') ?? 0)
  if (Date.now() - last < 10_000) return
  sessionStorage.setItem('qanat-reload', String(Date.now()))
  location.reload()
})
createApp(App).use(router).mount('#app')
