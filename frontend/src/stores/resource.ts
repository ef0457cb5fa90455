// Something the coordinator knows, kept fresh while a view shows it.
import { onScopeDispose, reactive, watch } from 'vue'
import type { Client } from '../api/client'
import { heard, live, onEvent } from './live'
import { client } from './session'

export interface Resource<T> {
  data: T | null
  /** Why the last attempt failed; what was known before is kept. */
  error: string
  loading: boolean
  refresh: () => Promise<void>
  /** In a component's setup: keeps it fresh until the component goes. */
  use: () => Resource<T>
}

export interface Pace {
  /** Kinds of events after which it is asked for again, by their beginning ('task.'). */
  on?: string[]
  /** Seconds between questions while the stream runs, for what no event tells. */
  every?: number
}

const WHILE_POLLING_S = 3
const TOGETHER_MS = 250 // events of one moment are one question
const APART_MS = 1000 // however busy the swarm is, nobody reads faster

export function resource<T>(load: (client: Client) => Promise<T>, { on = [], every = 30 }: Pace): Resource<T> {
  let users = 0
  let asked = 0
  let turn = 0
  let soon: ReturnType<typeof setTimeout> | undefined

  const self = reactive({ data: null, error: '', loading: false, refresh, use }) as Resource<T>

  async function refresh(): Promise<void> {
    const at = client.value
    if (!at) return
    const mine = ++turn
    asked = Date.now()
    self.loading = true
    try {
      const found = await load(at)
      heard()
      if (mine === turn) Object.assign(self, { data: found, error: '', loading: false })
    } catch (e) {
      if (client.value === at) heard(e)
      if (mine === turn) Object.assign(self, { error: e instanceof Error ? e.message : String(e), loading: false })
    }
  }

  function tick(): void {
    if (!users || document.hidden) return
    const pace = live.state === 'live' ? every : WHILE_POLLING_S
    if (Date.now() - asked >= pace * 1000) void refresh()
  }

  function wake(): void {
    soon ??= setTimeout(() => {
      soon = undefined
      if (users) void refresh()
    }, Math.max(TOGETHER_MS, APART_MS - (Date.now() - asked)))
  }

  function use(): Resource<T> {
    if (users++ === 0) void refresh()
    onScopeDispose(() => users--)
    return self
  }

  setInterval(tick, 1000)
  onEvent((event) => {
    if (users && on.some((beginning) => event.what.startsWith(beginning))) wake()
  })
  // What happened before the stream was there was not told.
  watch(
    () => live.state,
    (now) => now === 'live' && users && wake(),
  )
  watch(client, () => {
    turn++
    Object.assign(self, { data: null, error: '', loading: false })
    if (client.value && users) void refresh()
  })
  return self
}
