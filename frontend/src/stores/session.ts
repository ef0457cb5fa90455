// Who looks: the coordinator's address, the token of this tab, and what it may do.
import { computed, ref, shallowRef } from 'vue'
import { ApiError, Client } from '../api/client'
import type { Status } from '../api/types'

const KEY = 'swarmops.token'

export const coordinator = ref('')
export const client = shallowRef<Client | null>(null)
export const scopes = ref<string[] | null>([])
/** Said on the login page: why the last session ended. */
export const farewell = ref('')
/** Changes need a deed of their own each time the page is opened. */
export const allowChanges = ref(false)

/** A coordinator that does not say what a token may counts as admin: it has the last word anyway, in words. */
export const isAdmin = computed(() => scopes.value === null || scopes.value.includes('admin'))
export const mayChange = computed(() => allowChanges.value && isAdmin.value)

/** Learns where the coordinator is, and takes up the session of this tab. Throws ApiError. */
export async function begin(): Promise<void> {
  const answer = await fetch('/config.json', { cache: 'no-store' }).catch(() => null)
  if (!answer?.ok) throw new ApiError('This page cannot read its own settings (config.json). Is `swarmops dashboard` running?', 0)
  coordinator.value = ((await answer.json()) as { coordinator: string }).coordinator
  const kept = sessionStorage.getItem(KEY)
  if (kept) {
    client.value = new Client(coordinator.value, kept)
  }
}

/** Asks with the token before it is kept. Throws ApiError. */
export async function login(token: string): Promise<void> {
  const candidate = new Client(coordinator.value, token)
  learn(await candidate.get<Status>('/api/status'))
  sessionStorage.setItem(KEY, token)
  farewell.value = ''
  client.value = candidate
}

export function logout(why = ''): void {
  sessionStorage.removeItem(KEY)
  farewell.value = why
  scopes.value = []
  allowChanges.value = false
  client.value = null
}

export function learn(status: Status): void {
  scopes.value = status.scopes ?? null
}
