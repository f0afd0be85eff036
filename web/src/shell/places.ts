import { Activity, Building2, ClipboardList, Inbox, LayoutDashboard, MapPin, Radio } from 'lucide-vue-next'

/** The places of the portal, in the order of the day. `tab`: also in the bar at the foot of a phone. */
export const places = [
  { name: 'Overview', to: '/', icon: LayoutDashboard, tab: true },
  { name: 'Sites', to: '/sites', icon: MapPin, tab: true },
  { name: 'Surveys', to: '/surveys', icon: ClipboardList, tab: false },
  { name: 'Responses', to: '/responses', icon: Inbox, tab: true },
  { name: 'Devices', to: '/devices', icon: Radio, tab: true },
  { name: 'Activity', to: '/activity', icon: Activity, tab: false },
  { name: 'Organization', to: '/organization', icon: Building2, tab: false },
]
export const isAt = (path: string, to: string) => (to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`))
