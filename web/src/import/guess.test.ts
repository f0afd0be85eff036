import { expect, it } from 'vitest'
import { guess } from './guess'

it.each([['Households using waterpoint', 'households_using_waterpoint'], ['2014 yield', 'c_2014_yield'], ['Status', 'status_text'], ['  pH (field) ', 'ph_field'], ['???', '']])('%s becomes %s', (column, key) => expect(guess(column)).toBe(key))
