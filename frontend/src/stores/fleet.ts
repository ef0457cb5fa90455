import { computed, ref, watch } from 'vue'
import type { Fleet, Health, History } from '../api/types'
import { setServerTime } from '../lib/clock'
import { resource } from './resource'

export const fleet = resource<Fleet>(
  async (client) => {
    const found = await client.get<Fleet>('/api/fleet')
    setServerTime(found.at_ms)
    return found
  },
  { on: ['fleet.', 'node.', 'agent.'], every: 10 },
)

export const minutes = ref(60)
export const history = resource<History>(
  (client) => client.get<History>('/api/fleet/history', { minutes: minutes.value }),
  { every: 10 },
)
watch(minutes, () => void history.refresh())

const WORST: Health[] = ['critical', 'warning', 'unknown', 'ok']

/** The worst first, so that what needs a hand is on top. */
export const nodes = computed(() =>
  [...(fleet.data?.nodes ?? [])].sort(
    (a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state) || a.name.localeCompare(b.name),
  ),
)
