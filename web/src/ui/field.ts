import { inject, type InjectionKey } from 'vue'

/** What a Field tells the control inside it: its id, what describes it, whether it is wrong. */
export interface FieldContext { id: string; describedBy: string | undefined; invalid: boolean }
export const fieldKey: InjectionKey<FieldContext> = Symbol('field')
export const useField = () => inject(fieldKey, undefined)
