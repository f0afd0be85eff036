import type { Channel, Doc } from '@/api'

export interface Certificate { serial: string; fingerprint: string; not_before: string; not_after: string; revoked?: string }
export interface Device { serial: string; name: string; model?: string; site?: string; branch: string; state: 'registered' | 'claimed' | 'active' | 'quarantined' | 'revoked'; claim?: { expires: string; tries: number }; certificates?: Certificate[]; channels?: Channel[] }
export interface Latest { channel: string; unit: string; ts: number; value: number }
export interface DeviceView extends Doc<Device> { latest: Latest[]; last_seen?: string; connected: boolean; site_name?: string }
export interface NewDevice { serial: string; name?: string; model?: string; site?: string; branch: string }
export interface ClaimCode { code: string; expires: string; payload: string; qr: string }
export interface ReadSeries { channel: string; name: string; unit: string; ts: number[]; value: number[]; thinned?: boolean }
/** A message that the door refused. `payload` is its beginning, base64. */
export interface RefusedMessage { device: string; time: string; topic: string; payload: string; size: number; reason: string }
export interface Refusal { org: string; reason: string; address: string; device?: string; serial?: string; fingerprint?: string; detail?: string; first: string; last: string; count: number }

export const number = (value: number) => value.toLocaleString(undefined, { maximumFractionDigits: Math.abs(value) < 10 ? 3 : 1 })
export const channelOf = (device: DeviceView, key: string) => device.body.channels?.find((c) => c.key === key)
export const channelName = (device: DeviceView, key: string) => channelOf(device, key)?.name || key
export const unitOf = (device: DeviceView, latest: Latest) => channelOf(device, latest.channel)?.unit || latest.unit
