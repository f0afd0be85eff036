import { shallowRef } from 'vue'
import { onStepUp } from '@/api/client'

type Answer = (given: boolean) => void
const asked = shallowRef<Answer[]>([])

// Requests that are refused at the same time share one dialog.
onStepUp(() => new Promise<boolean>((resolve) => { asked.value = [...asked.value, resolve] }))

/** The requests that wait for the second factor; StepUp.vue asks for it. */
export function useStepUp() {
  return {
    asked,
    answer(given: boolean) {
      const waiting = asked.value
      asked.value = []
      for (const resolve of waiting) resolve(given)
    },
  }
}
