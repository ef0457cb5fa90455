// Server-sent events over fetch: the browser's own EventSource cannot send a token in a header.

export interface Message {
  id: string
  event: string
  data: string
}

/** Messages of an answer, until it ends. Throws when nothing at all, not even a comment, came for `silence` ms. */
export async function* messages(answer: Response, silence: number): AsyncGenerator<Message> {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  let id = ''
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), silence)
      if (done) return
      const parts = (rest + value).split(/\r\n\r\n|\n\n|\r\r/)
      rest = parts.pop() ?? ''
      for (const part of parts) {
        const message = parse(part, id)
        id = message.id
        if (message.data) yield message
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

function parse(block: string, lastId: string): Message {
  const message: Message = { id: lastId, event: 'message', data: '' }
  const data: string[] = []
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
    if (field === 'data') data.push(value ?? '')
    else if (field === 'id') message.id = value ?? ''
    else if (field === 'event') message.event = value ?? ''
  }
  message.data = data.join('\n')
  return message
}

function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the stream fell silent')), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
