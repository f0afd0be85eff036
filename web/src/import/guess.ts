/** The key a column would have as a property: "Households using waterpoint" as "households_using_waterpoint". */
export function guess(column: string): string {
  return column.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().replace(/[^a-z0-9]+/g, '_').replace(/^_+|_+$/g, '').slice(0, 60)
}
