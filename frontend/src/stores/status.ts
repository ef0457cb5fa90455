import { computed } from 'vue'
import type { Status } from '../api/types'
import { resource } from './resource'
import { learn } from './session'

export const status = resource<Status>(
  async (client) => {
    const found = await client.get<Status>('/api/status')
    learn(found)
    return found
  },
  { on: ['task.', 'agent.', 'leader.', 'swarm.', 'workflow.', 'worker.'], every: 15 },
)

const sum = (field: string) =>
  Object.values(status.data?.queues ?? {}).reduce((all, queue) => all + (queue[field] ?? 0), 0)

/** Their names; `default` is always there. */
export const queues = computed(() => Object.keys(status.data?.queues ?? { default: {} }).sort())

/** All queues together. */
export const counts = computed(() => ({
  ready: sum('ready') + sum('posted'),
  waiting: sum('delayed') + sum('blocked'),
  running: sum('running'),
  dead: sum('dead'),
}))

export const alerts = computed(() =>
  (status.data?.alerts ?? []).map(({ level, sentence }) => ({ level: level.toLowerCase(), text: sentence })),
)
