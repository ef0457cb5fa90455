// The one way to the coordinator: a token in a header, JSON both ways, and errors as sentences.

export class ApiError extends Error {
  constructor(
    message: string,
    /** Of HTTP; 0 when there was no answer at all. */
    readonly status: number,
  ) {
    super(message)
  }
}

export type Query = Record<string, string | number | boolean | undefined>

const PATIENCE_MS = 10_000

export class Client {
  constructor(
    readonly base: string,
    private readonly token: string,
  ) {}

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.ask<T>('GET', path, query)
  }

  post<T>(path: string, body: unknown = {}, query: Query = {}): Promise<T> {
    return this.ask<T>('POST', path, query, body)
  }

  /** The answer itself, for streams. Throws ApiError. */
  async open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    const answer = await this.send('GET', this.url(path, {}), { headers, signal })
    if (!answer.ok) throw await failure(answer)
    return answer
  }

  private url(path: string, query: Query): string {
    const url = new URL(path, this.base)
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined && value !== '') url.searchParams.set(key, String(value))
    }
    return url.href
  }

  private async ask<T>(method: string, path: string, query: Query, body?: unknown): Promise<T> {
    const init: RequestInit = { signal: AbortSignal.timeout(PATIENCE_MS) }
    if (body !== undefined) {
      init.body = JSON.stringify(body)
      init.headers = { 'Content-Type': 'application/json' }
    }
    const answer = await this.send(method, this.url(path, query), init)
    if (!answer.ok) throw await failure(answer)
    if (answer.status === 204) return undefined as T
    try {
      return (await answer.json()) as T
    } catch {
      throw new ApiError(`${this.base} sent something that is not JSON. Is it a coordinator?`, answer.status)
    }
  }

  private async send(method: string, url: string, init: RequestInit): Promise<Response> {
    const headers = { ...init.headers, Authorization: `Bearer ${this.token}` }
    try {
      return await fetch(url, { ...init, method, headers, credentials: 'omit', cache: 'no-store' })
    } catch (e) {
      const late = e instanceof DOMException && e.name === 'TimeoutError'
      throw new ApiError(`The coordinator at ${this.base} does not answer${late ? ' within 10 s' : ''}.`, 0)
    }
  }
}

async function failure(answer: Response): Promise<ApiError> {
  const said = await answer
    .json()
    .then((body: { error?: unknown }) => (typeof body.error === 'string' ? body.error : ''))
    .catch(() => '')
  const plain: Record<number, string> = {
    401: 'The coordinator does not know this token, or it has expired.',
    403: 'This token may not do that.',
    404: 'That is not there (any more).',
    429: `The coordinator is busy; try again in ${answer.headers.get('Retry-After') ?? 'some'} seconds.`,
    503: 'The coordinator cannot use Redis at the moment.',
  }
  const text = said || plain[answer.status] || `The coordinator answered ${answer.status}.`
  return new ApiError(answer.status === 401 ? (plain[401] as string) : text, answer.status)
}
