import { describe, expect, it } from 'vitest'
import { Points, statusIndex } from './cluster'

const world: number[] = [-2e7, -2e7, 2e7, 2e7]
function scatter(n: number): Points {
  let seed = 7
  const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648)
  const [x, y, s] = [new Float64Array(n), new Float64Array(n), new Uint8Array(n)]
  for (let i = 0; i < n; i++) { x[i] = 3.8e6 + random() * 2e5; y[i] = -1.7e6 + random() * 2e5; s[i] = Math.floor(random() * 4) }
  return new Points(x, y, s)
}

describe('Points', () => {
  it('loses no point and miscounts no status at any level', () => {
    const points = scatter(5000)
    for (const resolution of [80000, 5000, 600, 80, 9, 1.5, 1, 0.3]) {
      const marks = points.marks(world, resolution)
      expect(marks.reduce((n, m) => n + m.count, 0), `resolution ${resolution}`).toBe(5000)
      for (const m of marks) expect(m.by.reduce((a, b) => a + b, 0)).toBe(m.count)
    }
  })
  it('draws far fewer marks than points when zoomed out, and every point when zoomed in', () => {
    const points = scatter(5000)
    expect(points.marks(world, 5000).length).toBeLessThan(20)
    expect(points.marks(world, 0.5).length).toBe(5000)
  })
  it('keeps marks inside the box of their own points', () => {
    for (const m of scatter(3000).marks(world, 300)) {
      expect(m.x).toBeGreaterThanOrEqual(m.box[0] - 1e-6)
      expect(m.x).toBeLessThanOrEqual(m.box[2] + 1e-6)
    }
  })
  it('only looks at what is on the screen', () => {
    const points = scatter(5000)
    expect(points.marks([3.8e6, -1.7e6, 3.81e6, -1.69e6], 10).reduce((n, m) => n + m.count, 0)).toBeLessThan(200)
  })
  it('shows where nearly all points are, not where one was mistyped', () => {
    const points = scatter(500)
    points.x[7] = -1.9e7
    const [x1, , x2] = points.box()
    expect(x1).toBeGreaterThan(3.5e6)
    expect(x2).toBeLessThan(4.2e6)
  })
  it('shows every point when they are few', () => expect(new Points(Float64Array.of(0, 9e6), Float64Array.of(1, 2), Uint8Array.of(0, 0)).box()).toEqual([0, 1, 9e6, 2]))
  it('takes a status it does not know as unknown', () => expect(statusIndex('frozen')).toBe(3))
})
