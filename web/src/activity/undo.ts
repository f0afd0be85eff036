import { post } from '@/api'
import { toast, toastError } from '@/ui'

/** Undoes one change, and says so. */
export async function undoEntry(entry: number, reason: string) {
  await post(`/activity/${entry}/undo`, { reason })
}

/** Says what was done, with an Undo while it is shown. `entry`: the number of the change, when the server gave it. */
export function done(text: string, entry: number | undefined, after: () => void, detail?: string) {
  toast(text, {
    detail,
    action: entry ? { label: 'Undo', act: () => void undoEntry(entry, '').then(() => { toast('Undone.'); after() }, toastError) } : undefined,
  })
}
