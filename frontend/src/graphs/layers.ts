// A workflow as columns: a step stands right of all it waits for; inside a column near those it waits for.
import type { Step } from '../api/types'

export const BOX = { w: 152, h: 48, across: 48, down: 18 }

export interface Placed {
  step: Step
  x: number
  y: number
}

export interface Drawn {
  boxes: Placed[]
  arrows: { key: string; d: string; from: Step }[]
  width: number
  height: number
}

function columns(steps: Step[]): Step[][] {
  const byName = new Map(steps.map((step) => [step.name, step]))
  const depth = new Map<string, number>()
  // Kahn's way, without recursion: a chain may have a thousand steps.
  const left = new Map(steps.map((s) => [s.name, s.after.filter((name) => byName.has(name)).length]))
  const children = new Map<string, string[]>()
  for (const step of steps) for (const name of step.after) children.set(name, [...(children.get(name) ?? []), step.name])
  const free = steps.filter((step) => !left.get(step.name)).map((step) => step.name)
  for (const name of free) {
    for (const child of children.get(name) ?? []) {
      depth.set(child, Math.max(depth.get(child) ?? 0, (depth.get(name) ?? 0) + 1))
      left.set(child, left.get(child)! - 1)
      if (!left.get(child)) free.push(child)
    }
  }
  const found: Step[][] = []
  for (const step of steps) (found[depth.get(step.name) ?? 0] ??= []).push(step)
  return found.filter(Boolean)
}

/** A step in its column, or the place where an arrow passes through a column on its way. */
interface Slot {
  step: Step | null
  /** What the slots of the column before are called that lead here. */
  from: string[]
  name: string
  height: number
}

const via = (from: string, to: string, column: number) => `${from}\n${to}\n${column}`

/** Long arrows get a slot in each column that they cross, so that they pass between steps and not behind them. */
function slots(layers: Step[][]): Slot[][] {
  const column = new Map(layers.flatMap((layer, i) => layer.map((step) => [step.name, i] as const)))
  const found: Slot[][] = layers.map(() => [])
  layers.flat().forEach((step) => {
    const at = column.get(step.name)!
    const from = step.after.flatMap((name) => {
      const begin = column.get(name)
      if (begin === undefined) return []
      for (let i = begin + 1; i < at; i++) {
        const before = i === begin + 1 ? name : via(name, step.name, i - 1)
        found[i]!.push({ step: null, from: [before], name: via(name, step.name, i), height: 4 })
      }
      return [begin === at - 1 ? name : via(name, step.name, at - 1)]
    })
    found[at]!.push({ step, from, name: step.name, height: BOX.h })
  })
  return found
}

/** Each column in the order of the mean place of what leads to its slots, which crosses few arrows. */
function ordered(layers: Slot[][]): Slot[][] {
  const place = new Map<string, number>()
  return layers.map((layer) => {
    const mean = (slot: Slot) => slot.from.reduce((sum, name) => sum + (place.get(name) ?? 0), 0) / (slot.from.length || 1)
    const sorted = layer.map((slot) => [mean(slot), slot] as const).sort((a, b) => a[0] - b[0])
    sorted.forEach(([, slot], i) => place.set(slot.name, (i + 0.5) / layer.length))
    return sorted.map(([, slot]) => slot)
  })
}

const tall = (layer: Slot[]) => layer.reduce((sum, slot) => sum + slot.height + BOX.down, -BOX.down)

export function draw(steps: Step[]): Drawn {
  const layers = ordered(slots(columns(steps)))
  const height = Math.max(BOX.h, ...layers.map(tall))
  const middle = new Map<string, [x: number, y: number]>()
  const boxes: Placed[] = []
  layers.forEach((layer, column) => {
    const x = column * (BOX.w + BOX.across)
    let y = (height - tall(layer)) / 2
    for (const slot of layer) {
      middle.set(slot.name, [x, y + slot.height / 2])
      if (slot.step) boxes.push({ step: slot.step, x, y })
      y += slot.height + BOX.down
    }
  })
  const byName = new Map(boxes.map((box) => [box.step.name, box]))
  const arrows = boxes.flatMap((to) =>
    to.step.after.flatMap((name) => {
      const from = byName.get(name)
      return from ? [{ key: `${name} ${to.step.name}`, d: way(from, to, middle), from: from.step }] : []
    }),
  )
  return { boxes, arrows, width: layers.length * (BOX.w + BOX.across) - BOX.across, height }
}

function way(from: Placed, to: Placed, middle: Map<string, [number, number]>): string {
  let [x, y] = [from.x + BOX.w, from.y + BOX.h / 2]
  let d = `M${x} ${y}`
  const bend = (x2: number, y2: number) => {
    const half = (x2 - x) / 2
    d += `C${x + half} ${y} ${x2 - half} ${y2} ${x2} ${y2}`
    ;[x, y] = [x2, y2]
  }
  const first = Math.round(from.x / (BOX.w + BOX.across)) + 1
  const last = Math.round(to.x / (BOX.w + BOX.across))
  for (let column = first; column < last; column++) {
    const [left, height] = middle.get(via(from.step.name, to.step.name, column))!
    bend(left, height)
    d += `H${(x = left + BOX.w)}`
  }
  bend(to.x - 5, to.y + BOX.h / 2)
  return d
}
