import { describe, expect, it } from 'vitest'
import { contrast, shades } from './workspace'

const colours = ['#ffffff', '#000000', '#ff0000', '#00ff00', '#0000ff', '#ffff00', '#808080', '#1b5e78', '#f3ede0', '#4fc3c7']
for (let r = 0; r < 256; r += 51) for (let g = 0; g < 256; g += 51) for (let b = 0; b < 256; b += 51) colours.push(`#${[r, g, b].map((v) => v.toString(16).padStart(2, '0')).join('')}`)

describe('the colour of a workspace', () => {
  it('keeps every text readable, whatever colour is chosen', () => {
    for (const colour of colours) {
      const s = shades(colour)
      for (const ground of ['deep', 'deep-raised'] as const) for (const text of ['on-deep', 'on-deep-soft', 'spring'] as const) expect(contrast(s[text], s[ground]), `${text} on ${ground} of ${colour}`).toBeGreaterThanOrEqual(4.5)
    }
  })
  it('keeps a colour that is dark enough', () => expect(shades('#14303f').deep).toBe('#14303f'))
  it('takes what is no colour for none', () => expect(shades('url(x)')).toEqual(shades(undefined)))
})
