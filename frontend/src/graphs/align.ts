// Series that were measured at their own moments, on one axis of time, as uPlot wants them.
import type uPlot from 'uplot'
import type { Point } from '../api/types'

const STEP_MS = 1000

export function align(series: Record<string, Point[]>, names: string[]): uPlot.AlignedData {
  const moments = new Set<number>()
  const rows = names.map((name) => {
    const row = new Map<number, number | null>()
    for (const [at, ms] of series[name] ?? []) {
      const moment = Math.round(at / STEP_MS)
      row.set(moment, ms)
      moments.add(moment)
    }
    return row
  })
  const axis = [...moments].sort((a, b) => a - b)
  // undefined: not measured then, the line goes on; null: no answer, the line has a gap.
  return [axis, ...rows.map((row) => axis.map((moment) => row.get(moment)))] as uPlot.AlignedData
}
