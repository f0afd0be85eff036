import { Activity, Building2, ClipboardList, Inbox, LayoutDashboard, MapPin, Radio, ServerCog } from 'lucide-vue-next'

/** The places of the portal, in the order of the day. `tab`: also in the bar at the foot of a phone. `inside`: also for who is in a workspace. */
export const places = [
  { name: 'Overview', to: '/', icon: LayoutDashboard, tab: true, inside: true },
  { name: 'Sites', to: '/sites', icon: MapPin, tab: true, inside: true },
  { name: 'Surveys', to: '/surveys', icon: ClipboardList, tab: false, inside: true },
  { name: 'Responses', to: '/responses', icon: Inbox, tab: true, inside: true },
  { name: 'Devices', to: '/devices', icon: Radio, tab: true, inside: false },
  { name: 'Activity', to: '/activity', icon: Activity, tab: false, inside: false },
  { name: 'Organization', to: '/organization', icon: Building2, tab: false, inside: false },
]
/** For server administrators. */
export const serverPlace = { name: 'Server', to: '/server', icon: ServerCog, tab: false, inside: true }
export const isAt = (path: string, to: string) => (to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`))
