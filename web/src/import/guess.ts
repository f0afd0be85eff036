/** What a column can become beside the properties of the type. */
export const fields = [
  { value: 'name', label: 'Name' }, { value: 'code', label: 'Code' }, { value: 'status', label: 'Status' },
  { value: 'latitude', label: 'Latitude' }, { value: 'longitude', label: 'Longitude' }, { value: 'location', label: 'Location, both in one' }, { value: 'accuracy', label: 'Accuracy in metres' },
]

/** The key a column gets when it becomes a property: "Households using waterpoint" is households_using_waterpoint. The server makes it the same way. */
export function guess(column: string): string {
  const key = column.toLowerCase().replace(/[^a-z0-9]+/g, '_').replace(/^_+|_+$/g, '').slice(0, 60).replace(/_+$/, '')
  if (!key) return ''
  const safe = key < 'a' ? `c_${key}` : key
  return fields.some((f) => f.value === safe) ? `${safe}_text` : safe
}
