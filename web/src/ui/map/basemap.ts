import Feature from 'ol/Feature'
import GeoJSON from 'ol/format/GeoJSON'
import { LineString, MultiLineString, Point, Polygon } from 'ol/geom'
import Graticule from 'ol/layer/Graticule'
import VectorLayer from 'ol/layer/Vector'
import { fromLonLat } from 'ol/proj'
import VectorSource from 'ol/source/Vector'
import { Circle, Fill, Stroke, Style, Text } from 'ol/style'
import { feature, mesh } from 'topojson-client'
import type { GeometryCollection, Topology } from 'topojson-specification'

interface File {
  grain: number
  countries: Topology<{ countries: GeometryCollection<{ name: string }> }>
  lakes: [string, number, number[][]][]
  rivers: [string, number, number[][]][]
  places: [string, number, number, number, number][]
}
export interface Palette { water: string; land: string; border: string; label: string; halo: string; river: string; font: string }

const files = new Map<string, Promise<File>>()
function load(name: string): Promise<File> {
  const url = `${import.meta.env.BASE_URL}basemap/${name}.json`
  const known = files.get(url)
  if (known) return known
  const fresh = fetch(url).then((r) => { if (!r.ok) throw new Error(`base map: ${r.status}`); return r.json() as Promise<File> })
  files.set(url, fresh)
  fresh.catch(() => files.delete(url))
  return fresh
}

function decode(flat: number[], grain: number): number[][] {
  const out: number[][] = []
  let [x, y] = [0, 0]
  for (let i = 0; i < flat.length; i += 2) out.push(fromLonLat([(x += flat[i]!) * grain, Math.max(-85, Math.min(85, (y += flat[i + 1]!) * grain))]))
  return out
}

interface Parts { land: Feature[]; borders: Feature[]; water: Feature[]; rivers: Feature[]; labels: Feature[] }
const parsed = new Map<string, Promise<Parts>>()
function parts(name: string): Promise<Parts> {
  const known = parsed.get(name)
  if (known) return known
  const fresh = load(name).then((file) => {
    const format = new GeoJSON({ featureProjection: 'EPSG:3857' })
    const land = format.readFeatures(feature(file.countries, file.countries.objects.countries)) as Feature[]
    const borders = format.readFeatures({ type: 'Feature', properties: {}, geometry: mesh(file.countries, file.countries.objects.countries, (a, b) => a !== b) }) as Feature[]
    // One line each, so that only what is on the screen is drawn.
    const split = borders.flatMap((b) => (b.getGeometry() as MultiLineString).getLineStrings().map((l: LineString) => new Feature(l)))
    const water = file.lakes.map(([name, zoom, rings]) => new Feature({ geometry: new Polygon(rings.map((r) => decode(r, file.grain))), name, zoom }))
    const rivers = file.rivers.map(([name, zoom, lines]) => new Feature({ geometry: new MultiLineString(lines.map((l) => decode(l, file.grain))), name, zoom }))
    const labels = file.places.map(([name, lon, lat, zoom, capital]) => new Feature({ geometry: new Point(fromLonLat([lon, lat])), name, zoom, capital, rank: 20 - zoom }))
    for (const country of land) {
      const geometry = country.getGeometry()
      if (!geometry) continue
      const polygons = geometry.getType() === 'MultiPolygon' ? (geometry as never as { getPolygons(): Polygon[] }).getPolygons() : [geometry as Polygon]
      const largest = polygons.reduce((a, b) => (b.getArea() > a.getArea() ? b : a))
      const [x1, , x2] = largest.getExtent()
      labels.push(new Feature({ geometry: new Point(largest.getInteriorPoint().getCoordinates().slice(0, 2)), name: country.get('name'), country: true, width: x2! - x1!, rank: 40 + Math.log(x2! - x1!) }))
    }
    return { land, borders: split, water, rivers, labels }
  })
  parsed.set(name, fresh)
  fresh.catch(() => parsed.delete(name))
  return fresh
}

/** Land, borders, lakes, rivers, places and a graticule, from two files of our own; the finer one comes when it is zoomed into. */
export function basemap(palette: () => Palette) {
  const sources = { land: new VectorSource(), borders: new VectorSource(), water: new VectorSource(), rivers: new VectorSource(), labels: new VectorSource() }
  let p = palette()
  let zoom = 0
  let shown = ''
  let styles = make()

  function make() {
    return {
      land: new Style({ fill: new Fill({ color: p.land }), stroke: new Stroke({ color: p.border, width: 0.6 }) }),
      border: new Style({ stroke: new Stroke({ color: p.border, width: 1.2, lineDash: [6, 3, 1.5, 3] }) }),
      water: new Style({ fill: new Fill({ color: p.water }), stroke: new Stroke({ color: p.river, width: 0.7 }) }),
      river: [0.7, 1.1, 1.7].map((width) => new Style({ stroke: new Stroke({ color: p.river, width }) })),
      line: new Stroke({ color: p.border, width: 0.35 }),
    }
  }
  const text = (size: number, weight: number, spacing = '') => ({ font: `${weight} ${size}px ${p.font}`, fill: new Fill({ color: p.label }), stroke: new Stroke({ color: p.halo, width: 3 }), overflow: true, letterSpacing: spacing })
  const named = (f: { get(key: string): unknown }): Style | undefined => {
    const name = f.get('name') as string
    if (f.get('country')) {
      const pixels = ((f.get('width') as number) / 40075016) * 256 * 2 ** zoom
      if (pixels < 46 || zoom > 8.5) return undefined
      return new Style({ text: new Text({ ...text(pixels > 300 ? 13 : 11, 600), text: name.toUpperCase() }) })
    }
    if ((f.get('zoom') as number) > zoom + 0.4) return undefined
    const capital = !!f.get('capital')
    return new Style({
      image: new Circle({ radius: capital ? 3 : 2.2, fill: new Fill({ color: capital ? p.label : p.halo }), stroke: new Stroke({ color: p.label, width: 1.2 }) }),
      text: new Text({ ...text(capital ? 12.5 : 11.5, capital ? 600 : 400), text: name, textAlign: 'left', offsetX: 7 }),
    })
  }
  const lake = (f: { get(key: string): unknown }) => (((f.get('zoom') as number) ?? 0) > zoom + 1.5 ? undefined : styles.water)
  const river = (f: { get(key: string): unknown }) => {
    const z = (f.get('zoom') as number) ?? 0
    return z > zoom + 1 ? undefined : styles.river[zoom - z > 4 ? 2 : zoom - z > 1.5 ? 1 : 0]
  }

  const quiet = { updateWhileAnimating: true, updateWhileInteracting: false, renderBuffer: 160 }
  const layers = [
    new VectorLayer({ ...quiet, source: sources.land, style: () => styles.land }),
    new VectorLayer({ ...quiet, source: sources.rivers, style: river as never }),
    new VectorLayer({ ...quiet, source: sources.water, style: lake as never }),
    new VectorLayer({ ...quiet, source: sources.borders, style: () => styles.border }),
    new Graticule({ strokeStyle: styles.line, showLabels: false, wrapX: false, maxLines: 60, targetSize: 140 }),
    new VectorLayer({ source: sources.labels, style: named as never, declutter: true, updateWhileAnimating: false, updateWhileInteracting: false, renderOrder: (a, b) => (b.get('rank') as number) - (a.get('rank') as number) }),
  ]

  async function use(name: string) {
    if (shown === name || (shown === 'detail' && name === 'world')) return
    const before = shown
    shown = name
    try {
      const next = await parts(name)
      if (shown !== name) return
      for (const [key, source] of Object.entries(sources) as [keyof Parts, VectorSource][]) { source.clear(true); source.addFeatures(next[key]) }
    } catch (error) {
      shown = before
      console.warn(error)
    }
  }
  return {
    layers,
    /** Call when the zoom has changed. */
    zoomed(next: number) {
      zoom = next
      void use(zoom > 5.5 ? 'detail' : 'world')
    },
    repaint() {
      p = palette()
      styles = make()
      for (const layer of layers) layer.changed()
    },
  }
}
