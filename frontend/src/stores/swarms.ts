import type { Leader, Swarm } from '../api/types'
import { resource } from './resource'

export const swarms = resource<Swarm[]>(
  async (client) => (await client.get<{ swarms: Swarm[] }>('/api/swarms')).swarms,
  { on: ['swarm.'], every: 10 },
)

export const leader = resource<Leader | null>(
  async (client) => {
    const found = await client.get<{ leader?: Leader | null } & Partial<Leader>>('/api/leader')
    if (found && 'leader' in found) return found.leader ?? null
    return found?.id ? (found as Leader) : null
  },
  { on: ['leader.'], every: 5 },
)
