export { call, get, post, put, remove } from './client'
export { useList, useQuery } from './query'
export type * from './types'
