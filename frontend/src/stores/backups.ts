import type { Backups } from '../api/types'
import { resource } from './resource'

export const backups = resource<Backups>((client) => client.get<Backups>('/api/backups'), {
  on: ['fleet.published'],
  every: 30,
})
