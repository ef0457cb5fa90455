// Keeps the page true: a stream of events while it lasts, asking again and again while it does not.
import { reactive, watch } from 'vue'
import { ApiError } from '../api/client'
import { messages } from '../api/stream'
import type { SwarmEvent } from '../api/types'
import { client, logout } from './session'

export type LiveState = 'connecting' | 'live' | 'polling' | 'offline'

/** asOf: when the coordinator last said anything, by this browser's clock. */
export const live = reactive({ state: 'connecting' as LiveState, asOf: 0, why: '' })

const SILENCE_MS = 35_000 // the coordinator says something every 15 s
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 8_000

type Listener = (event: SwarmEvent) => void
const listeners = new Set<Listener>()
let stop: AbortController | null = null
/** Ends the stream alone. */
let cut: AbortController | null = null
let mark = ''
/** Ends the wait before the next try: it answers again. */
let hurry = () => {}

export function onEvent(listener: Listener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Told by whoever asked the coordinator for something. */
export function heard(error?: unknown): void {
  if (error === undefined) {
    live.asOf = Date.now()
    if (live.state === 'offline') {
      live.state = 'polling'
      hurry()
    }
  } else if (error instanceof ApiError && error.status === 401) {
    logout(error.message)
  } else if (error instanceof ApiError && error.status === 0) {
    live.state = 'offline'
    live.why = error.message
    cut?.abort() // a frozen coordinator closes nothing
  }
}

watch(client, (now) => {
  stop?.abort()
  stop = null
  live.state = 'connecting'
  mark = ''
  if (now) void keep((stop = new AbortController()).signal)
})

async function keep(signal: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT_MS
  while (!signal.aborted) {
    try {
      await listen(signal, () => (wait = FIRST_WAIT_MS))
      live.why = 'The coordinator ended the stream.'
    } catch (e) {
      if (signal.aborted) return
      if (e instanceof ApiError && e.status === 401) return logout(e.message)
      // Whether the coordinator is away altogether is for the next question to find out.
      if (live.state !== 'offline') live.why = `The stream is cut: ${e instanceof Error ? e.message : String(e)}`
    }
    if (signal.aborted) return
    if (live.state !== 'offline') live.state = 'polling'
    await pause(wait * (0.75 + Math.random() / 2), signal)
    wait = Math.min(wait * 2, LONGEST_WAIT_MS)
  }
}

async function listen(signal: AbortSignal, opened: () => void): Promise<void> {
  const headers: Record<string, string> = { Accept: 'text/event-stream' }
  if (mark) headers['Last-Event-ID'] = mark
  cut = new AbortController()
  const answer = await client.value!.open('/api/events', headers, AbortSignal.any([signal, cut.signal]))
  opened()
  live.state = 'live'
  live.why = ''
  heard()
  for await (const message of messages(answer, SILENCE_MS)) {
    mark = message.id || mark
    heard()
    const event = read(message.data)
    if (event) for (const listener of [...listeners]) listener(event)
  }
}

function read(data: string): SwarmEvent | null {
  try {
    const event = JSON.parse(data) as SwarmEvent
    return typeof event.what === 'string' ? event : null
  } catch {
    return null
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    hurry = resolve
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
