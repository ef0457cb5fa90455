import { shallowRef, watch } from 'vue'
import type { SwarmEvent } from '../api/types'
import { onEvent } from './live'
import { resource } from './resource'
import { client } from './session'

const MOST = 300

/** The newest first. Fed by the stream, and by asking where there is none. */
export const events = shallowRef<SwarmEvent[]>([])

const key = (event: SwarmEvent) => `${event.queue} ${event.mark}`

function add(more: SwarmEvent[]): void {
  const known = new Map(events.value.map((event) => [key(event), event]))
  for (const event of more) known.set(key(event), event)
  events.value = [...known.values()].sort((a, b) => b.at - a.at || (a.mark < b.mark ? 1 : -1)).slice(0, MOST)
}

export const recent = resource<true>(
  async (client) => {
    add((await client.get<{ events: SwarmEvent[] }>('/api/events/recent', { limit: 100 })).events)
    return true
  },
  { every: 60 },
)

let waiting: SwarmEvent[] = []
onEvent((event) => {
  // A busy swarm sends hundreds a second; the list is made anew a few times a second.
  if (waiting.push(event) === 1) {
    setTimeout(() => {
      add(waiting)
      waiting = []
    }, 200)
  }
  if (waiting.length > MOST) waiting.shift()
})
watch(client, () => (events.value = []))
