// Where the nodes of the map stand: around a ring, so that every way between two of them can be seen.
import type { Link, Node } from '../api/types'

export interface Place {
  node: Node
  x: number
  y: number
}

export interface Wire {
  key: string
  link: Link
  a: Place
  b: Place
}

export interface Layout {
  places: Place[]
  wires: Wire[]
  width: number
  height: number
}

const MARGIN = 40

export function ring(nodes: Node[], links: Link[], narrow: boolean): Layout {
  const width = narrow ? 360 : 880
  const order = [...nodes].sort((a, b) => a.name.localeCompare(b.name))
  const reach = narrow ? [106, 172] : [350, 180]
  // Turned a little, so that an even number stands in rows, as a table would.
  const turn = order.length % 2 || narrow ? 0 : Math.PI / order.length
  const places = order.map((node, i) => {
    const angle = (2 * Math.PI * i) / order.length - Math.PI / 2 - turn
    return { node, x: width / 2 + reach[0]! * Math.cos(angle), y: reach[1]! * Math.sin(angle) }
  })
  const at = new Map(places.map((place) => [place.node.name, place]))
  // As high as the nodes need: three of them fill no ring.
  const ys = places.map((place) => place.y)
  const top = Math.min(...ys) - MARGIN
  for (const place of places) place.y -= top
  return { places, wires: wires(links, at), width, height: Math.max(...ys) - top + MARGIN }
}

/** Both directions of a pair are one line, with what is worse of them. */
function wires(links: Link[], at: Map<string, Place>): Wire[] {
  const found = new Map<string, Wire>()
  for (const link of links) {
    const a = at.get(link.from)
    const b = at.get(link.to)
    if (!a || !b || a === b) continue
    const key = [link.from, link.to].sort().join(' ')
    const known = found.get(key)
    if (!known) found.set(key, { key, link, a, b })
    else known.link = { ...known.link, ...worse(known.link, link) }
  }
  return [...found.values()]
}

const most = (a: number | null, b: number | null) => (a === null ? b : b === null ? a : Math.max(a, b))
const worse = (a: Link, b: Link) => ({
  latency_ms: most(a.latency_ms, b.latency_ms),
  handshake_age_s: most(a.handshake_age_s, b.handshake_age_s),
})
