// Where in the page we are, kept behind the # so that a reload or a bookmark leads there again.
import { reactive } from 'vue'

export const VIEWS = [
  ['overview', 'Overview'],
  ['network', 'Network'],
  ['agents', 'Agents'],
  ['tasks', 'Tasks'],
  ['dead', 'Dead letters'],
  ['workflows', 'Workflows'],
  ['swarms', 'Swarms'],
  ['backups', 'Backups'],
  ['events', 'Events'],
  ['links', 'Links'],
] as const

export type View = (typeof VIEWS)[number][0]

export const route = reactive<{ view: View; id: string }>({ view: 'overview', id: '' })

function read(): void {
  const [view = '', id = ''] = location.hash.replace(/^#\/?/, '').split('/')
  const known = VIEWS.find(([name]) => name === view)
  route.view = known ? known[0] : 'overview'
  try {
    route.id = decodeURIComponent(id)
  } catch {
    route.id = ''
  }
}

export const href = (view: View, id = '') => `#/${view}${id ? `/${encodeURIComponent(id)}` : ''}`
export const go = (view: View, id = '') => (location.hash = href(view, id))

addEventListener('hashchange', read)
read()
