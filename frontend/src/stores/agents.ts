import { ref, watch } from 'vue'
import type { Agent } from '../api/types'
import { resource } from './resource'

export const withDead = ref(false)
export const agents = resource<Agent[]>(
  async (client) => (await client.get<{ agents: Agent[] }>('/api/agents', { dead: withDead.value || undefined })).agents,
  { on: ['agent.', 'worker.'], every: 10 },
)
watch(withDead, () => void agents.refresh())
