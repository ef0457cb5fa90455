// Every state of anything has one of six tones; a tone has a colour and a shape, so that colour is never alone.
export type Tone = 'ok' | 'warning' | 'critical' | 'busy' | 'quiet' | 'unknown'

const TONES: Record<string, Tone> = {
  ok: 'ok',
  alive: 'ok',
  active: 'ok',
  done: 'ok',
  completed: 'ok',
  verified: 'ok',
  warning: 'warning',
  degraded: 'warning',
  suspect: 'warning',
  expired: 'warning',
  stopped: 'warning',
  draining: 'warning',
  critical: 'critical',
  error: 'critical',
  dead: 'critical',
  failed: 'critical',
  spoilt: 'critical',
  interrupted: 'critical',
  running: 'busy',
  busy: 'busy',
  initializing: 'busy',
  unknown: 'unknown',
}

export const toneOf = (state: string): Tone => TONES[state.toLowerCase()] ?? 'quiet'

/** WireGuard renews its keys every two minutes: older than 3 is odd, older than 5 is broken (docs/health.md). */
export function handshakeTone(age: number | null): Tone {
  if (age === null) return 'unknown'
  return age > 300 ? 'critical' : age > 180 ? 'warning' : 'ok'
}

export function latencyTone(ms: number | null): Tone {
  if (ms === null) return 'unknown'
  return ms > 1000 ? 'critical' : ms > 250 ? 'warning' : 'ok'
}

const HOUR = 3_600_000
/** A daily backup may be two hours late; two days without one is trouble. */
export const backupTone = (age: number): Tone => (age > 50 * HOUR ? 'critical' : age > 26 * HOUR ? 'warning' : 'ok')
