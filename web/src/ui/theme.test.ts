import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const css = readFileSync('src/ui/theme.css', 'utf8')
function tokens(selector: string): Record<string, string> {
  const block = css.slice(css.indexOf(`${selector} {`)).split('\n}')[0]!
  return Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map((m) => [m[1]!, m[2]!]))
}
const light = tokens(':root')
const dark = { ...light, ...tokens(":root[data-theme='dark']") }
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => { const c = parseInt(hex.slice(i, i + 2), 16) / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 })
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
}
function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p)
  return (x! + 0.05) / (y! + 0.05)
}
const texts: [string, string][] = [
  ...['ink', 'ink-soft', 'ink-faint', 'brand'].flatMap((t) => ['ground', 'surface', 'sunken'].map((g): [string, string] => [t, g])),
  ...['good', 'warn', 'bad', 'info', 'quiet'].flatMap((t): [string, string][] => [[t, `${t}-soft`], [t, 'surface']]),
  ['ink-soft', 'bad-soft'], ['brand-strong', 'brand-soft'], ['brand', 'brand-soft'], ['on-brand', 'brand'], ['on-brand', 'brand-strong'], ['on-bad', 'bad'],
  ['on-deep', 'deep'], ['on-deep', 'deep-raised'], ['on-deep-soft', 'deep'], ['on-deep-soft', 'deep-raised'], ['spring', 'deep'], ['map-label', 'map-land'],
]
const shapes: [string, string][] = [['line-strong', 'surface'], ['line-strong', 'ground'], ['mark-good', 'map-land'], ['mark-bad', 'map-land'], ['mark-quiet', 'map-land'], ['line-a', 'surface'], ['line-b', 'surface'], ['line-c', 'surface'], ['line-d', 'surface'], ['line-e', 'surface']]

describe.each([['light', light], ['dark', dark]] as const)('%s', (_, scheme) => {
  it.each(texts)('%s is readable on %s', (text, ground) => expect(contrast(scheme[text]!, scheme[ground]!)).toBeGreaterThanOrEqual(4.5))
  it.each(shapes)('%s stands out on %s', (shape, ground) => expect(contrast(scheme[shape]!, scheme[ground]!)).toBeGreaterThanOrEqual(3))
})
