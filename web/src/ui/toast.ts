import { reactive } from 'vue'
import { toProblem } from './problem'
import { sentence } from './show'
import type { Tone } from './types'

export interface Toast { id: number; text: string; detail?: string; tone: Tone; action?: { label: string; act: () => void } }

export const toasts = reactive<Toast[]>([])
let last = 0

/** Says what has been done. Give `action` an Undo where there is one. */
export function toast(text: string, options: Partial<Omit<Toast, 'id' | 'text'>> & { seconds?: number } = {}): number {
  const id = ++last
  const { seconds = options.tone === 'bad' ? 12 : options.action ? 10 : 5, ...rest } = options
  toasts.push({ id, text, tone: 'good', ...rest })
  if (toasts.length > 4) toasts.shift()
  setTimeout(() => dismiss(id), seconds * 1000)
  return id
}

export function dismiss(id: number) {
  const at = toasts.findIndex((t) => t.id === id)
  if (at >= 0) toasts.splice(at, 1)
}

/** Says why something was refused, in the server's own words. */
export function toastError(error: unknown) {
  const problem = toProblem(error)
  return toast(sentence(problem.detail), { tone: 'bad', detail: [sentence(problem.mend), ...(problem.errors ?? []).slice(0, 3).map((e) => sentence(`${e.place}: ${e.message}`))].filter(Boolean).join(' ') || undefined })
}
