// Makes public/basemap/{world,detail}.json, the map under everything that needs no server but our own.
//
//   node tools/basemap.mjs DIR
//
// Countries come from world-atlas (npm). DIR holds Natural Earth layers as GeoJSON, as published at
// naturalearthdata.com and its mirrors: ne_{50m,10m}_lakes.json, ne_{50m,10m}_rivers_lake_centerlines.json,
// ne_10m_populated_places_simple.json. Both are in the public domain. The answer is committed,
// because it changes once in years and a build should not need the network.
//
// Shape: { countries: TopoJSON, lakes: [[name, zoom, rings]], rivers: [[name, zoom, lines]], places: [[name, lon, lat, zoom, capital]], grain }
// Rings and lines are flat lists of integers, delta-coded, in units of `grain` degrees.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const dir = process.argv[2]
if (!dir) throw new Error('usage: node tools/basemap.mjs DIR   (DIR holds the Natural Earth GeoJSON files)')
const read = (path) => JSON.parse(readFileSync(path, 'utf8'))

// Douglas and Peucker; distances in degrees, which is good enough for a base map.
function simplify(points, tolerance) {
  if (points.length < 3) return points
  const keep = new Uint8Array(points.length)
  keep[0] = keep[points.length - 1] = 1
  const stack = [[0, points.length - 1]]
  while (stack.length) {
    const [a, b] = stack.pop()
    const [ax, ay] = points[a]
    const dx = points[b][0] - ax
    const dy = points[b][1] - ay
    const length = dx * dx + dy * dy
    let far = 0
    let at = -1
    for (let i = a + 1; i < b; i++) {
      const px = points[i][0] - ax
      const py = points[i][1] - ay
      const t = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0
      const d = (px - t * dx) ** 2 + (py - t * dy) ** 2
      if (d > far) [far, at] = [d, i]
    }
    if (far > tolerance * tolerance) {
      keep[at] = 1
      stack.push([a, at], [at, b])
    }
  }
  return points.filter((_, i) => keep[i])
}

function delta(points, grain, flat) {
  const out = []
  let [x, y] = [0, 0]
  for (const [lon, lat] of points) {
    const [qx, qy] = [Math.round(lon / grain), Math.round(lat / grain)]
    if (out.length && qx === x && qy === y) continue
    if (flat) out.push(qx - x, qy - y)
    else out.push([qx - x, qy - y])
    ;[x, y] = [qx, qy]
  }
  return out
}

function countries(file, grain, tolerance) {
  const topology = read(here(`../node_modules/world-atlas/${file}`))
  const { scale, translate } = topology.transform
  const arcs = topology.arcs.map((arc) => {
    let [x, y] = [0, 0]
    const points = arc.map(([dx, dy]) => [(x += dx) * scale[0] + translate[0], (y += dy) * scale[1] + translate[1]])
    const closed = points[0][0] === points.at(-1)[0] && points[0][1] === points.at(-1)[1]
    const thin = simplify(points, tolerance)
    const coded = delta(thin.length < (closed ? 4 : 2) ? points : thin, grain, false)
    // An island smaller than the grain keeps its points, or its ring would collapse.
    return coded.length < (closed ? 4 : 2) ? points.reduce((a, p, i) => { const q = [Math.round(p[0] / grain), Math.round(p[1] / grain)]; a.push(i ? [q[0] - a.last[0], q[1] - a.last[1]] : q); a.last = q; return a }, []) : coded
  })
  const geometries = topology.objects.countries.geometries.map(({ type, arcs, id, properties }) => ({ type, arcs, id, properties: { name: properties.name } }))
  return { type: 'Topology', transform: { scale: [grain, grain], translate: [0, 0] }, arcs: arcs.map((a) => [...a]), objects: { countries: { type: 'GeometryCollection', geometries } } }
}

const title = (p) => p.name_en ?? p.name ?? ''
function lines(file, grain, tolerance, rings, most) {
  return read(`${dir}/${file}`).features.filter((f) => f.geometry && (f.properties.min_zoom ?? 0) <= most).map(({ geometry: g, properties: p }) => {
    const parts = g.type === 'Polygon' || g.type === 'MultiLineString' ? g.coordinates : g.type === 'MultiPolygon' ? g.coordinates.flat() : [g.coordinates]
    return [title(p), p.min_zoom ?? 0, parts.map((part) => delta(simplify(part, tolerance), grain, true)).filter((part) => part.length >= (rings ? 8 : 4))]
  }).filter(([, , parts]) => parts.length)
}
const places = (most) => read(`${dir}/ne_10m_populated_places_simple.json`).features.map((f) => f.properties).filter((p) => p.min_zoom <= most)
  .sort((a, b) => a.min_zoom - b.min_zoom || b.pop_max - a.pop_max)
  .map((p) => [p.name, +p.longitude.toFixed(3), +p.latitude.toFixed(3), p.min_zoom, p.adm0cap ? 1 : 0])

const files = {
  world: { grain: 0.01, countries: countries('countries-50m.json', 0.01, 0.015), lakes: lines('ne_50m_lakes.json', 0.01, 0.015, true, 4), rivers: lines('ne_50m_rivers_lake_centerlines.json', 0.01, 0.02, false, 4.5), places: places(4.5) },
  detail: { grain: 0.001, countries: countries('countries-10m.json', 0.001, 0.003), lakes: lines('ne_10m_lakes.json', 0.001, 0.003, true, 99), rivers: lines('ne_10m_rivers_lake_centerlines.json', 0.001, 0.003, false, 99), places: places(99) },
}
mkdirSync(here('../public/basemap'), { recursive: true })
for (const [name, content] of Object.entries(files)) {
  const text = JSON.stringify(content)
  writeFileSync(here(`../public/basemap/${name}.json`), text)
  console.log(`${name}.json  ${(text.length / 1024).toFixed(0)} KiB  ${Object.entries(content).map(([k, v]) => `${k} ${(JSON.stringify(v).length / 1024).toFixed(0)}`).join(', ')}`)
}
