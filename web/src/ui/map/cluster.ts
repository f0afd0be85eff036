/**
 * Clusters of very many points, per zoom level, on a grid of cells.
 *
 * A level is made once, in one pass over the points (about 30 ms for 200,000), and a frame then only looks at
 * the cells that are on the screen. So moving the map costs the same for a hundred points and for a million.
 */

export const statuses = ['functional', 'partly', 'not_functional', 'unknown'] as const
export const statusIndex = (status: string) => { const at = statuses.indexOf(status as (typeof statuses)[number]); return at < 0 ? 3 : at }

/** Width of the world in EPSG:3857, metres. */
const world = 2 * 20037508.342789244
const cell = 68 // pixels
const columns = 2 ** 26

export interface Mark {
  x: number
  y: number
  count: number
  /** How many of each status, in the order of `statuses`. */
  by: [number, number, number, number]
  /** The point itself when count is 1; otherwise one of them. */
  first: number
  box: [number, number, number, number]
}

export class Points {
  readonly size: number
  private readonly levels = new Map<number, Map<number, Mark[]>>()

  /** x, y in EPSG:3857; status as an index into `statuses`. Not copied: give arrays that no longer change. */
  constructor(readonly x: Float64Array, readonly y: Float64Array, readonly status: Uint8Array) {
    this.size = x.length
  }

  /** Where the points are: all of them, unless a few lie so far away that the rest would be a dot. */
  box(): [number, number, number, number] {
    const [x1, x2] = span(this.x)
    const [y1, y2] = span(this.y)
    return [x1, y1, x2, y2]
  }

  /** What to draw at a resolution (metres per pixel) within a box; from `apart` metres per pixel downwards nothing is clustered. */
  marks(box: number[], resolution: number, apart = 1.2): Mark[] {
    const level = Math.max(0, Math.min(24, Math.floor(Math.log2(world / 256 / resolution) + 1e-6)))
    const single = resolution <= apart
    const size = (world / 256 / 2 ** level) * cell
    const cells = this.level(single ? -1 - level : level, size, single)
    const out: Mark[] = []
    // One cell more on each side: a cluster's middle may stand outside its own cell.
    const [left, right] = [Math.floor(box[0]! / size) - 1, Math.floor(box[2]! / size) + 1]
    const [bottom, top] = [Math.floor(box[1]! / size) - 1, Math.floor(box[3]! / size) + 1]
    if ((right - left) * (top - bottom) > cells.size) {
      for (const marks of cells.values()) for (const m of marks) if (m.x >= box[0]! - size && m.x <= box[2]! + size && m.y >= box[1]! - size && m.y <= box[3]! + size) out.push(m)
      return out
    }
    for (let cy = bottom; cy <= top; cy++) for (let cx = left; cx <= right; cx++) {
      const marks = cells.get(cx + cy * columns)
      if (marks) out.push(...marks)
    }
    return out
  }

  private level(key: number, size: number, single: boolean): Map<number, Mark[]> {
    const known = this.levels.get(key)
    if (known) return known
    const cells = new Map<number, Mark[]>()
    for (let i = 0; i < this.size; i++) {
      const x = this.x[i]!
      const y = this.y[i]!
      const at = Math.floor(x / size) + Math.floor(y / size) * columns
      const marks = cells.get(at)
      const s = this.status[i]!
      if (marks && !single) {
        const m = marks[0]!
        m.x += x
        m.y += y
        m.count++
        m.by[s]!++
        const b = m.box
        if (x < b[0]) b[0] = x
        if (y < b[1]) b[1] = y
        if (x > b[2]) b[2] = x
        if (y > b[3]) b[3] = y
      } else {
        const mark: Mark = { x, y, count: 1, by: [0, 0, 0, 0], first: i, box: [x, y, x, y] }
        mark.by[s] = 1
        if (marks) marks.push(mark)
        else cells.set(at, [mark])
      }
    }
    if (!single) settle(cells, size)
    if (this.levels.size > 12) this.levels.delete(this.levels.keys().next().value!)
    this.levels.set(key, cells)
    return cells
  }
}

function span(values: Float64Array): [number, number] {
  const sorted = Float64Array.from(values).sort()
  const n = sorted.length
  const [low, high] = [sorted[Math.floor(n * 0.02)]!, sorted[Math.ceil(n * 0.98) - 1]!]
  const room = (high - low) * 0.75
  return n < 20 ? [sorted[0]!, sorted[n - 1]!] : [Math.max(sorted[0]!, low - room), Math.min(sorted[n - 1]!, high + room)]
}

// Sums become middles; then a cluster swallows a smaller neighbour whose middle is too near, so that the grid does not show.
function settle(cells: Map<number, Mark[]>, size: number) {
  for (const [m] of cells.values()) if (m!.count > 1) { m!.x /= m!.count; m!.y /= m!.count }
  const near = (size * 0.6) ** 2
  for (const at of [...cells.keys()].sort((a, b) => cells.get(b)![0]!.count - cells.get(a)![0]!.count)) {
    const m = cells.get(at)?.[0]
    if (!m) continue
    for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) {
      const beside = at + dx + dy * columns
      const other = beside === at ? undefined : cells.get(beside)?.[0]
      if (!other || other.count > m.count || (other.x - m.x) ** 2 + (other.y - m.y) ** 2 > near) continue
      const sum = m.count + other.count
      m.x = (m.x * m.count + other.x * other.count) / sum
      m.y = (m.y * m.count + other.y * other.count) / sum
      m.count = sum
      for (let s = 0; s < 4; s++) m.by[s]! += other.by[s]!
      m.box = [Math.min(m.box[0], other.box[0]), Math.min(m.box[1], other.box[1]), Math.max(m.box[2], other.box[2]), Math.max(m.box[3], other.box[3])]
      cells.delete(beside)
    }
  }
}
