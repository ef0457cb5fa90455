// Asks before something is changed, does it, and keeps the question open with the reason when it failed.
import { reactive } from 'vue'

export interface Question {
  title: string
  text: string
  act: string
  /** Said when it is done. */
  done: string
  danger?: boolean
  deed: () => Promise<void>
}

export const asking = reactive({ question: null as Question | null, busy: false, error: '', done: '' })

export function confirm(question: Question): void {
  Object.assign(asking, { question, busy: false, error: '', done: '' })
}

export async function yes(): Promise<void> {
  if (!asking.question || asking.busy) return
  asking.busy = true
  asking.error = ''
  try {
    await asking.question.deed()
    asking.done = asking.question.done
    asking.question = null
  } catch (e) {
    asking.error = e instanceof Error ? e.message : String(e)
  } finally {
    asking.busy = false
  }
}
