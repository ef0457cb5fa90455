import { reactive, shallowRef, watch } from 'vue'
import type { Task } from '../api/types'
import { resource } from './resource'
import { client } from './session'
import { queues } from './status'

export const PAGE = 50

export interface TaskList {
  tasks: Task[]
  /** null: nobody counted. */
  total: number | null
}

/** What is looked for; changing it asks again. */
export const search = reactive({ queue: '', status: '', q: '', page: 0 })

export const tasks = resource<TaskList>(
  (client) =>
    client.get<TaskList>('/api/tasks', {
      queue: search.queue,
      status: search.status,
      q: search.q.trim(),
      limit: PAGE,
      offset: search.page * PAGE || undefined,
    }),
  { on: ['task.', 'workflow.', 'worker.'], every: 10 },
)

let typing: ReturnType<typeof setTimeout>
watch(
  () => ({ ...search }),
  (now, before) => {
    clearTimeout(typing)
    typing = setTimeout(() => void tasks.refresh(), now.q === before.q ? 0 : 200)
  },
)

/** Of all queues: who looks for trouble does not know yet in which. */
export const dead = resource<Task[]>(
  async (client) => {
    const ask = (queue: string) => client.get<TaskList>('/api/tasks', { queue, status: 'dead', limit: 100 })
    return (await Promise.all(queues.value.map(ask))).flatMap((list) => list.tasks)
  },
  { on: ['task.dead', 'task.requeued', 'task.purged'], every: 15 },
)
watch(queues, (now, before) => {
  if (now.join() !== before.join()) void dead.refresh()
})

/** Which task is looked at closely. */
export type Which = Pick<Task, 'id' | 'queue'>
export const opened = shallowRef<Which | null>(null)
export const task = resource<Task | null>(
  async (client) => (opened.value ? client.get<Task>(path(opened.value.id), { queue: opened.value.queue }) : null),
  { on: ['task.'], every: 5 },
)
watch(opened, () => {
  task.data = null
  task.error = ''
  if (opened.value) void task.refresh()
})

function path(id: string): string {
  return `/api/tasks/${encodeURIComponent(id)}`
}

export const isOpen = (one: Pick<Task, 'status'>) => ['waiting', 'delayed', 'ready', 'running'].includes(one.status)

const everywhere = () => Promise.all([tasks.refresh(), dead.refresh(), task.refresh()])

/** Throws ApiError, as `requeue` does. */
export async function cancel({ id, queue }: Which): Promise<void> {
  await client.value!.post(`${path(id)}/cancel`, {}, { queue })
  await everywhere()
}

export async function requeue(which: Which[]): Promise<void> {
  for (const queue of new Set(which.map((one) => one.queue))) {
    const ids = which.filter((one) => one.queue === queue).map((one) => one.id)
    await client.value!.post('/api/tasks/requeue', { ids, queue })
  }
  await everywhere()
}
