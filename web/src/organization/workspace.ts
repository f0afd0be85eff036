/** The shell's tokens in the colour of a workspace. */
export type Shades = Record<'deep' | 'deep-raised' | 'deep-line' | 'on-deep' | 'on-deep-soft' | 'spring', string>

type Rgb = [number, number, number]
const read = (hex: string): Rgb => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb
const write = (c: Rgb) => `#${c.map((v) => Math.round(Math.min(255, Math.max(0, v))).toString(16).padStart(2, '0')).join('')}`
const mix = (a: Rgb, b: Rgb, part: number) => a.map((v, i) => v + (b[i]! - v) * part) as Rgb
function luminance(c: Rgb): number {
  const [r, g, b] = c.map((v) => { const s = Math.round(v) / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4 })
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
}
/** WCAG contrast of two colours, 1 to 21. */
export function contrast(a: string, b: string): number {
  const [x, y] = [luminance(read(a)), luminance(read(b))].sort((p, q) => q - p)
  return (x! + 0.05) / (y! + 0.05)
}

const black: Rgb = [8, 12, 14]
const light: Rgb = [243, 237, 224]

/**
 * What the shell's dark side becomes in a colour: the colour, darkened only as far as text on it needs, whatever was
 * chosen. Anything that is no colour gives the portal's own.
 */
export function shades(colour: string | undefined): Shades {
  const chosen = /^#[0-9a-f]{6}$/i.test(colour ?? '') ? read(colour!) : read('#0c2a35')
  for (let dark = 0; ; dark += 0.02) {
    const deep = mix(chosen, black, Math.min(dark, 1))
    const raised = mix(deep, light, 0.07)
    const soft = mix(light, deep, 0.22)
    const spring = mix(mix(deep, light, 0.7), [79, 195, 199], 0.35)
    const out: Shades = { deep: write(deep), 'deep-raised': write(raised), 'deep-line': write(mix(deep, light, 0.14)), 'on-deep': write(light), 'on-deep-soft': write(soft), spring: write(spring) }
    const readable = ['deep', 'deep-raised'].every((g) => ['on-deep', 'on-deep-soft', 'spring'].every((t) => contrast(out[t as keyof Shades], out[g as keyof Shades]) >= 4.5))
    if (readable || dark > 1) return out
  }
}
