// Time as it is there: ages are told by the fleet's clock, whatever this browser's says.
import { computed, ref } from 'vue'

const here = ref(Date.now())
const ahead = ref(0)

setInterval(() => (here.value = Date.now()), 1000)

export function setServerTime(ms: number): void {
  const by = ms - Date.now()
  ahead.value = Math.abs(by) < 2000 ? 0 : by
}

/** Now, by the clock of Redis, in ms; moves on each second. */
export const now = computed(() => here.value + ahead.value)
/** Now, by this browser's clock. */
export const nowHere = here
