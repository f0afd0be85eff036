import type { FrameState } from 'ol/Map'
import Layer from 'ol/layer/Layer'
import { type Mark, type Points } from './cluster'

export interface MarkStyle { colours: [string, string, string, string]; disc: string; ink: string; halo: string; font: string }

/** Draws points and clusters on one canvas. Shape says the status as colour does: disc, triangle, square, ring. */
export class PointLayer extends Layer {
  points: Points | undefined
  /** Index of the point that is pointed at or open. */
  chosen = -1
  private readonly canvas = document.createElement('canvas')
  private drawn: { mark: Mark; px: number; py: number; radius: number }[] = []

  constructor(private style: () => MarkStyle) {
    super({})
    this.canvas.style.position = 'absolute'
    this.canvas.style.inset = '0'
    this.canvas.className = 'ol-layer'
  }

  /** What stands at a pixel, the nearest first. */
  at(pixel: number[], reach = 6): Mark | undefined {
    let best: Mark | undefined
    let near = Infinity
    for (const d of this.drawn) {
      const distance = Math.hypot(d.px - pixel[0]!, d.py - pixel[1]!) - d.radius
      if (distance < reach && distance < near) [best, near] = [d.mark, distance]
    }
    return best
  }

  override render(frame: FrameState | null): HTMLElement | null {
    if (!frame) return this.canvas
    const [width, height] = frame.size as [number, number]
    const ratio = frame.pixelRatio
    const { canvas } = this
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio)
      canvas.height = Math.round(height * ratio)
      canvas.style.width = `${width}px`
      canvas.style.height = `${height}px`
    }
    const g = canvas.getContext('2d')!
    g.setTransform(ratio, 0, 0, ratio, 0, 0)
    g.clearRect(0, 0, width, height)
    this.drawn = []
    const { points } = this
    if (!points || !frame.extent) return canvas
    const style = this.style()
    const [a, b, c, d, e, f] = frame.coordinateToPixelTransform as number[]
    const marks = points.marks(frame.extent, frame.viewState.resolution)
    const small = marks.length > 4000
    g.textAlign = 'center'
    g.textBaseline = 'middle'
    let chosen: Mark | undefined
    for (const mark of marks) {
      const px = a! * mark.x + c! * mark.y + e!
      const py = b! * mark.x + d! * mark.y + f!
      if (px < -40 || py < -40 || px > width + 40 || py > height + 40) continue
      let radius = small ? 3.5 : 6
      if (mark.count > 1) {
        radius = 11 + Math.min(13, Math.log10(mark.count) * 4.4)
        ring(g, px, py, radius, mark, style)
      } else {
        if (mark.first === this.chosen) chosen = mark
        shape(g, px, py, radius, mark.by.indexOf(1), style)
      }
      this.drawn.push({ mark, px, py, radius })
    }
    if (chosen) {
      const [px, py] = [a! * chosen.x + c! * chosen.y + e!, b! * chosen.x + d! * chosen.y + f!]
      g.beginPath()
      g.arc(px, py, 12, 0, 7)
      g.strokeStyle = style.ink
      g.lineWidth = 2.5
      g.stroke()
      shape(g, px, py, 7, chosen.by.indexOf(1), style)
    }
    return canvas
  }
}

function ring(g: CanvasRenderingContext2D, x: number, y: number, radius: number, mark: Mark, style: MarkStyle) {
  g.beginPath()
  g.arc(x, y, radius + 1.5, 0, 7)
  g.fillStyle = style.halo
  g.fill()
  let from = -Math.PI / 2
  for (let s = 0; s < 4; s++) {
    if (!mark.by[s]) continue
    const to = from + (mark.by[s]! / mark.count) * Math.PI * 2
    g.beginPath()
    g.moveTo(x, y)
    g.arc(x, y, radius, from, to)
    g.fillStyle = style.colours[s]!
    g.fill()
    from = to
  }
  g.beginPath()
  g.arc(x, y, radius - 4.5, 0, 7)
  g.fillStyle = style.disc
  g.fill()
  g.fillStyle = style.ink
  g.font = `600 ${mark.count > 9999 ? 10 : 11.5}px ${style.font}`
  g.fillText(short(mark.count), x, y + 0.5)
}

function shape(g: CanvasRenderingContext2D, x: number, y: number, r: number, status: number, style: MarkStyle) {
  g.beginPath()
  if (status === 1) {
    g.moveTo(x, y - r * 1.15)
    g.lineTo(x + r * 1.1, y + r * 0.85)
    g.lineTo(x - r * 1.1, y + r * 0.85)
    g.closePath()
  } else if (status === 2) g.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76)
  else g.arc(x, y, r, 0, 7)
  g.fillStyle = style.colours[status]!
  g.fill()
  g.lineWidth = 1.5
  g.strokeStyle = style.halo
  g.stroke()
  if (status === 3 && r > 4) {
    g.beginPath()
    g.arc(x, y, r * 0.42, 0, 7)
    g.fillStyle = style.halo
    g.fill()
  }
}

export function short(count: number): string {
  return count < 1000 ? String(count) : count < 10_000 ? `${(count / 1000).toFixed(1).replace(/\.0$/, '')}k` : `${Math.round(count / 1000)}k`
}
