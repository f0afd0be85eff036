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
createApp(App).use(router).mount('#app')
