// What can be changed, each with the question that comes first.
import type { Task } from '../api/types'
import { cancel, requeue, type Which } from '../stores/tasks'
import { cancelWorkflow } from '../stores/workflows'
import { confirm } from './confirm'
import { plural } from './format'

export function askCancel(task: Pick<Task, 'id' | 'type' | 'status' | 'queue'>): void {
  const more = task.status === 'running' ? ' It is running; its worker is told, and its result is refused.' : ''
  confirm({
    title: 'Cancel this task?',
    text: `${task.type} ${task.id} will not be done, nor what waits for it.${more}`,
    act: 'Cancel the task',
    done: `Cancelled ${task.id}.`,
    danger: true,
    deed: () => cancel(task),
  })
}

export function askRequeue(which: Which[]): void {
  const what = which.length === 1 ? `task ${which[0]!.id}` : plural(which.length, 'task')
  confirm({
    title: which.length === 1 ? 'Requeue this task?' : `Requeue ${what}?`,
    text: `${which.length === 1 ? 'It is' : 'They are'} tried again from the beginning: ${what}. What was stopped because of it stays stopped.`,
    act: 'Requeue',
    done: `Requeued ${what}.`,
    deed: () => requeue(which),
  })
}

export function askCancelWorkflow(id: string): void {
  confirm({
    title: 'Cancel this workflow?',
    text: `All steps of ${id} that are not done yet are cancelled.`,
    act: 'Cancel the workflow',
    done: `Cancelled ${id}.`,
    danger: true,
    deed: () => cancelWorkflow(id),
  })
}
