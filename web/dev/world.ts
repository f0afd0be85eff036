// A district that is made up, but the same every time.
let seed = 20261121
export const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648)
export const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
export const normal = () => (random() + random() + random() + random() - 2) / 1.155
export const uid = (kind: string, n: number) => `0193f2a1-${kind.padEnd(4, '0').slice(0, 4).replace(/[^0-9a-f]/g, 'c')}-7000-8000-${n.toString(16).padStart(12, '0')}`
export const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()

export const org = uid('0a', 1)
export const branches = [
  { id: org, name: 'Zomba Water Office', parent: '', path: [] as string[] },
  { id: uid('0b', 1), name: 'Upland', parent: org, path: [org] },
  { id: uid('0b', 2), name: 'Lakeshore', parent: org, path: [org] },
  { id: uid('0b', 3), name: 'Chingale', parent: uid('0b', 1), path: [org, uid('0b', 1)] },
]
export const people = [
  { id: uid('0c', 1), name: 'Grace Mbewe', email: 'grace@zomba.example' },
  { id: uid('0c', 2), name: 'Lameck Phiri', email: 'lameck@zomba.example' },
  { id: uid('0c', 3), name: 'Thoko Banda', email: 'thoko@zomba.example' },
  { id: uid('0c', 4), name: 'James Kalua', email: 'james@zomba.example' },
]
export const svg = (text: string) => {
  let cells = ''
  for (let i = 0; i < 29; i++) for (let j = 0; j < 29; j++) if ((i * 7 + j * 13 + text.length * (i ^ j)) % 5 < 2) cells += `M${i} ${j}h1v1h-1z`
  const eye = (x: number, y: number) => `<rect x="${x}" y="${y}" width="7" height="7" fill="#fff"/><path d="M${x} ${y}h7v7h-7zM${x + 1} ${y + 1}v5h5v-5z" fill-rule="evenodd"/><path d="M${x + 2} ${y + 2}h3v3h-3z"/>`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 33 33"><path d="${cells}"/>${eye(0, 0)}${eye(22, 0)}${eye(0, 22)}</svg>`
}
