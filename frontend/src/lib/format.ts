// Numbers and times as people read them.

export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000
  if (s < 1) return `${Math.round(ms)} ms`
  if (s < 10) return `${s.toFixed(1)} s`
  if (s < 90) return `${Math.round(s)} s`
  if (s < 90 * 60) return `${Math.round(s / 60)} min`
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`
  return `${Math.round(s / 86400)} d`
}

/** "just now" keeps a page from ticking for nothing. */
export function ago(ms: number): string {
  return ms < 2500 ? 'just now' : ms < 10_000 ? `${Math.round(ms / 1000)} s ago` : `${duration(ms)} ago`
}

export function latency(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–'
  return ms < 10 ? `${ms.toFixed(ms < 1 ? 2 : 1)} ms` : `${Math.round(ms)} ms`
}

export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let i = 0
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000
    i++
  }
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`
}

export const count = (n: number) => n.toLocaleString('en').replaceAll(',', '\u202f')

/** Processes of one name add an id of their own, which says nothing to people. */
export const shortName = (id: string) => id.replace(/-[0-9a-hjkmnp-tv-z]{20}$/, '')

export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`

const stamp = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const clockTime = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const short = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
export const hourMinute = (ms: number) => short.format(ms)
export const moment = (ms: number) => stamp.format(ms)
export const timeOfDay = (ms: number) => clockTime.format(ms)

const MOST = 20_000
/** Any value as text; what is longer than a person reads is cut, and says so. */
export function asText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? '')
  return text.length > MOST ? `${text.slice(0, MOST)}\n… ${count(text.length - MOST)} more characters` : text
}

/** A link only where it is one of the web; an address that a host made up could be a script. */
export const webLink = (url: string) => (/^https?:\/\//i.test(url) ? url : undefined)
