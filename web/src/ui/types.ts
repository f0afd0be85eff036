import type { Component } from 'vue'

/** A colour with a meaning. Colour never stands alone: parts show a word or a shape beside it. */
export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'quiet' | 'brand'

export type MenuItem = '-' | { label: string; hint?: string; icon?: Component; danger?: boolean; disabled?: boolean; checked?: boolean; act: () => void }

export interface TabItem { key: string; label: string; count?: number; icon?: Component }

/** One column of a Table. `value` gives what is shown and sorted by; a slot named after the key may draw it. */
export interface Column<T> {
  key: string
  label: string
  value?: (row: T) => string | number | boolean | null | undefined
  sortable?: boolean
  numeric?: boolean
  /** Narrow screens show rows as cards: the title line, a line of the card, or not at all. */
  card?: 'title' | 'line' | 'hide'
  /** Takes the room that is left, and cuts what does not fit instead of wrapping it. */
  fill?: boolean
  /** Width of the column as a utility class, e.g. "w-32". */
  width?: string
}
export interface Sort { key: string; down: boolean }

/** RFC 9457, as the server answers. */
export interface Problem {
  type?: string
  title?: string
  status: number
  detail: string
  code?: string
  mend?: string
  errors?: { place: string; message: string; mend?: string }[]
}

/** One changed place between two revisions. */
export interface Difference { path: string; old?: unknown; new?: unknown }

export interface TimelineItem { key: string | number; title: string; time?: string; by?: string; tone?: Tone; icon?: Component }

/** A line of a chart. ts: ascending Unix milliseconds. */
export interface Series { key: string; name: string; unit?: string; ts: number[]; values: (number | null)[] }

/** Points of a map as parallel arrays, so that 200,000 of them stay cheap. */
export interface MapPoints { ids: string[]; lon: ArrayLike<number>; lat: ArrayLike<number>; status: ArrayLike<string>; names?: ArrayLike<string>; codes?: ArrayLike<string>; types?: ArrayLike<string> }
