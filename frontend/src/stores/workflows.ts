import { ref, watch } from 'vue'
import type { Client } from '../api/client'
import type { Summary, Workflow } from '../api/types'
import { resource } from './resource'
import { client } from './session'
import { queues } from './status'

/** Of all queues, the newest first. */
export const workflows = resource<Summary[]>(
  async (client) => {
    const ask = (queue: string) => client.get<{ workflows: Summary[] }>('/api/workflows', { queue })
    const found = (await Promise.all(queues.value.map(ask))).flatMap((list) => list.workflows)
    return found.sort((a, b) => b.submitted_ms - a.submitted_ms)
  },
  { on: ['workflow.', 'task.'], every: 15 },
)

/** The workflow whose graph is shown, by its id. */
export const chosen = ref('')
export const workflow = resource<Workflow | null>(load, { on: ['workflow.', 'task.'], every: 10 })
watch(chosen, () => {
  workflow.data = null
  workflow.error = ''
  if (chosen.value) void workflow.refresh()
})

const path = (id: string) => `/api/workflows/${encodeURIComponent(id)}`
const queueOf = (id: string) => workflows.data?.find((one) => one.id === id)?.queue

async function load(client: Client): Promise<Workflow | null> {
  const id = chosen.value
  return id ? client.get<Workflow>(path(id), { queue: queueOf(id) }) : null
}

/** Throws ApiError. */
export async function cancelWorkflow(id: string): Promise<void> {
  await client.value!.post(`${path(id)}/cancel`, {}, { queue: queueOf(id) })
  await Promise.all([workflows.refresh(), workflow.refresh()])
}
