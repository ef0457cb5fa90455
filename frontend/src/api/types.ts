// What the coordinator answers (docs/api.md). Times end in _ms and are of Redis' clock, durations in _s.

export type Health = 'ok' | 'warning' | 'critical' | 'unknown'

export interface Service {
  name: string
  role: string
  url: string
  state: Health
  why: string
  latency_ms: number | null
  at_ms: number | null
}

export interface Check {
  name: string
  state: Health
  detail: string
}

export interface Node {
  name: string
  roles: string[]
  address: string | null
  mesh_address: string | null
  state: Health
  why: string
  services: Service[]
  checks: Check[]
  checked_ms: number | null
}

export interface Link {
  from: string
  to: string
  latency_ms: number | null
  handshake_age_s: number | null
}

export interface Fleet {
  at_ms: number
  nodes: Node[]
  links: Link[]
}

export type Point = [at_ms: number, latency_ms: number | null]

export interface History {
  series: Record<string, Point[]>
}

export interface Leader {
  id: string
  term: number
  expires_ms: number
}

export interface Alert {
  name: string
  level: string
  sentence: string
}

export interface Status {
  version: string
  uptime_s: number
  redis: { place: string; ok: boolean; used_memory: number | null; maxmemory: number | null; round_trip_ms: number | null }
  queues: Record<string, Record<string, number | null>>
  agents: { alive: number; all: number }
  swarms: Record<string, number>
  leader: Leader | null
  alerts: Alert[]
  scopes?: string[]
}

export interface Agent {
  id: string
  health: 'alive' | 'suspect' | 'dead'
  status: string
  load: number
  capabilities: string[]
  parent: string | null
  beat_ms: number
  registered_ms: number
  facts: Record<string, unknown>
  metadata: Record<string, unknown>
}

export const OPEN = ['waiting', 'delayed', 'ready', 'running'] as const
export const STATUSES = [...OPEN, 'done', 'dead', 'cancelled', 'expired', 'stopped', 'spoilt'] as const
export type TaskStatus = (typeof STATUSES)[number]

export interface Task {
  id: string
  status: TaskStatus
  type: string
  queue: string
  args?: unknown
  meta?: Record<string, unknown>
  priority?: number
  needs?: string[]
  attempt?: number
  failures?: number
  deaths?: number
  worker?: string
  workflow?: string
  result?: unknown
  error?: string | null
  progress?: Record<string, unknown> | null
  submitted_ms?: number
  started_ms?: number
  ended_ms?: number
  due_ms?: number
}

export interface Summary {
  id: string
  name: string
  steps: number
  open: number
  submitted_ms: number
  queue: string
}

export interface Step {
  name: string
  task: string
  type: string
  status: TaskStatus
  after: string[]
  result: unknown
  error: string | null
  attempt: number
  worker: string
  started_ms: number
  ended_ms: number
}

export interface Workflow {
  id: string
  name: string
  queue: string
  status: 'running' | 'done' | 'failed' | 'cancelled'
  open: number
  submitted_ms: number
  steps: Step[]
}

export interface Swarm {
  id: string
  objective: string
  strategy: string
  mode: string
  max_agents: number
  metadata: Record<string, unknown>
  status: string
  created_ms: number
  beat_ms: number
  load: number
  why: string
}

export interface BackupSet {
  host: string
  backup: string
  at_ms: number
  bytes: number
  verified: boolean | null
}

export interface Backups {
  sets: BackupSet[]
  published_ms: number | null
}

export interface SwarmEvent {
  at: number
  what: string
  id: string
  queue: string
  fields: Record<string, string>
  mark: string
}
