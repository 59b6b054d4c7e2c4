// What the platform itself costs: a Durable Object that reads an object from R2 in ranges of 4 MiB and sends it in messages of
// 64 KiB over a hibernatable WebSocket, with no protocol at all. The measurements of the Worker are set against it.
//
//     node floor.mjs STATE KEY PORT
//
// STATE is where local R2 is kept, KEY the object's: the same that the Worker reads. It prints a line when it is ready, and goes
// at SIGTERM.
import { join } from 'node:path'
import { Miniflare } from 'miniflare'

const RANGE = 4 * 1024 * 1024
const MESSAGE = 64 * 1024

const [state, key, port] = process.argv.slice(2)

const script = `
  import { DurableObject } from 'cloudflare:workers'

  export class Floor extends DurableObject {
    async fetch () {
      const { 0: client, 1: server } = new WebSocketPair()
      this.ctx.acceptWebSocket(server)
      this.ctx.waitUntil(this.send(server))
      return new Response(null, { status: 101, webSocket: client })
    }

    async send (socket) {
      const { size } = await this.env.BUCKET.head(this.env.KEY)
      for (let offset = 0; offset < size; offset += ${RANGE}) {
        const length = Math.min(${RANGE}, size - offset)
        const object = await this.env.BUCKET.get(this.env.KEY, { range: { offset, length } })
        const bytes = await object.arrayBuffer()
        for (let at = 0; at < length; at += ${MESSAGE}) {
          socket.send(bytes.slice(at, at + ${MESSAGE}))
        }
      }
    }

    webSocketMessage () {}
    webSocketClose (socket) { socket.close() }
  }

  export default {
    fetch (request, env) { return env.FLOOR.get(env.FLOOR.idFromName('floor')).fetch(request) }
  }
`

const mf = new Miniflare({
  host: '127.0.0.1',
  port: Number(port),
  cf: false,
  modules: true,
  script,
  compatibilityDate: '2026-03-01',
  bindings: { KEY: key },
  durableObjects: { FLOOR: 'Floor' },
  r2Buckets: ['BUCKET'],
  r2Persist: join(state, 'r2')
})
await mf.ready
console.log('ready')

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await mf.dispose()
    process.exit(0)
  })
}
