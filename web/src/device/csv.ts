export interface Row { line: number; serial: string; name: string; model: string; site: string; problem?: string }

/** One line of CSV; tabs and semicolons count too, for what is pasted from a spreadsheet. */
function cells(line: string, by: string): string[] {
  const out: string[] = []
  let cell = ''
  let quoted = false
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!
    if (quoted) {
      if (c === '"' && line[i + 1] === '"') { cell += '"'; i++ } else if (c === '"') quoted = false
      else cell += c
    } else if (c === '"' && !cell.trim()) { quoted = true; cell = '' } else if (c === by) { out.push(cell.trim()); cell = '' } else cell += c
  }
  out.push(cell.trim())
  return out
}

const heads: Record<string, keyof Omit<Row, 'line' | 'problem'>> = { serial: 'serial', 'serial number': 'serial', serial_number: 'serial', sn: 'serial', name: 'name', label: 'name', model: 'model', type: 'model', site: 'site', 'site code': 'site', site_code: 'site', code: 'site' }

/** Devices from pasted lines: serial, name, model, code of the site. A heading names the columns; without one this is their order. */
export function readDevices(text: string): Row[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const first = lines.find((l) => l.trim()) ?? ''
  const by = ['\t', ';', ','].find((c) => first.includes(c)) ?? ','
  const named = cells(first, by).map((c) => heads[c.toLowerCase()])
  const headed = named.includes('serial')
  const order = headed ? named : (['serial', 'name', 'model', 'site'] as const)
  const seen = new Map<string, number>()
  const rows: Row[] = []
  lines.forEach((line, index) => {
    if (!line.trim() || (headed && line === first)) return
    const row: Row = { line: index + 1, serial: '', name: '', model: '', site: '' }
    cells(line, by).forEach((cell, i) => { const key = order[i]; if (key) row[key] = cell })
    const before = seen.get(row.serial.toLowerCase())
    if (!row.serial) row.problem = 'has no serial number'
    else if (before) row.problem = `repeats the serial number of line ${before}`
    else seen.set(row.serial.toLowerCase(), row.line)
    rows.push(row)
  })
  return rows
}
