// The memory of a Worker's isolate, as its inspector tells it: sampled all the time, because what counts is the peak.
import { setTimeout } from 'node:timers/promises'

/** Milliseconds between samples. */
const PAUSE = 20

/** Starts sampling. `peak` is the sample with the largest sum, since it was last asked. */
export async function samples (port) {
  const [{ webSocketDebuggerUrl }] = await (await fetch(`http://127.0.0.1:${port}/json`)).json()
  const call = await connect(webSocketDebuggerUrl)
  let peak = { heap: 0, external: 0 }
  const sum = ({ heap, external }) => heap + external
  const sample = async () => {
    for (;;) {
      const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await call('Runtime.getHeapUsage')
      const now = { heap: usedSize + embedderHeapUsedSize, external: backingStorageSize }
      if (sum(now) > sum(peak)) peak = now
      await setTimeout(PAUSE)
    }
  }
  // It ends with the Worker.
  sample().catch(() => {})
  return {
    peak () {
      const was = peak
      peak = { heap: 0, external: 0 }
      return was
    }
  }
}

/** Calls the methods of the protocol over one WebSocket. */
export async function connect (url) {
  const socket = new WebSocket(url)
  const waiting = new Map()
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(data)
    if (!waiting.has(id)) return
    const [resolve, reject] = waiting.get(id)
    waiting.delete(id)
    if (error) reject(new Error(error.message))
    else resolve(result)
  })
  socket.addEventListener('close', () => {
    for (const [, reject] of waiting.values()) reject(new Error('the inspector went away'))
  })
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', () => reject(new Error('no inspector there')))
  })
  let calls = 0
  return (method, params = {}) => new Promise((resolve, reject) => {
    calls += 1
    waiting.set(calls, [resolve, reject])
    socket.send(JSON.stringify({ id: calls, method, params }))
  })
}
