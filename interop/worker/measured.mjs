// The Worker with counters in it, for what cannot be seen from outside: the requests that the platform would count, messages,
// the times that an object woke, and memory.
//
//     node measured.mjs FOLDER STATE PORT [--inspect PORT] [--awake]
//
// FOLDER and STATE are those of dev.mjs; the bucket is filled before. It prints its multiaddr; then, for each line on stdin, what was
// counted since the line before. It goes when stdin ends. An identity may be in the environment. With --inspect memory is
// sampled all the time; with --awake no object ever sleeps.
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { identity } from './identity.mjs'
import { samples } from './inspector.mjs'
import { start } from './workerd.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { inspect: { type: 'string' }, awake: { type: 'boolean' } }
})
const [folder, state, port] = positionals

const entry = `
  import worker, { PeerMemory as Memory, Peers as Objects } from './index.js'

  let counters

  function reset () {
    counters = { requests: 0, messages: 0, wakes: 0 }
  }
  reset()

  /** The memories of the wasm instances, which are made at the first event. */
  const memories = []
  const Instance = WebAssembly.Instance
  WebAssembly.Instance = class extends Instance {
    constructor (...made) {
      super(...made)
      memories.push(super.exports.memory)
    }
  }

  /** What the platform calls a subrequest, by the binding that makes it. */
  const COUNTED = {
    R2Bucket: ['get', 'head', 'list', 'put', 'delete', 'createMultipartUpload'],
    KvNamespace: ['get', 'getWithMetadata', 'list', 'put', 'delete'],
    Fetcher: ['fetch'],
    DurableObject: ['fetch']
  }

  function counted (binding) {
    const names = COUNTED[binding.constructor.name] ?? []
    return new Proxy(binding, {
      get (target, name) {
        const value = Reflect.get(target, name)
        if (typeof value !== 'function' || name === 'constructor') return value
        return (...given) => {
          if (names.includes(name)) counters.requests += 1
          const result = value.apply(target, given)
          return COUNTED[result?.constructor?.name] ? counted(result) : result
        }
      }
    })
  }

  function bindings (env) {
    const entries = Object.entries(env)
    return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === 'object' ? counted(value) : value]))
  }

  export class Peers extends Objects {
    constructor (context, env) {
      super(context, bindings(env))
      counters.wakes += 1
      if (env.MEASURED_AWAKE) setTimeout(() => {}, 3_600_000)
    }

    webSocketMessage (...given) {
      counters.messages += 1
      return super.webSocketMessage(...given)
    }
  }

  export class PeerMemory extends Memory {}

  export default {
    async fetch (request, env, context) {
      if (!request.url.endsWith('/measured')) return worker.fetch(request, env, context)
      const wasm = memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0)
      const answer = Response.json({ ...counters, wasm })
      reset()
      return answer
    }
  }
`

const variables = {
  HOVERBOARD_IDENTITY: process.env.HOVERBOARD_DEV_IDENTITY ?? identity,
  HOVERBOARD_MODE: 'object',
  ...(values.awake && { MEASURED_AWAKE: '1' })
}
const { worker, url } = await start({
  folder,
  state,
  port: Number(port),
  variables,
  modules: [
    { type: 'ESModule', path: join(folder, 'measured.js'), contents: entry },
    { type: 'ESModule', path: join(folder, 'index.js') },
    { type: 'CompiledWasm', path: join(folder, 'hoverboard.wasm') }
  ],
  ...(values.inspect && { inspectorPort: Number(values.inspect) })
})
const memory = values.inspect && await samples(Number(values.inspect))

const { multiaddrs } = await (await fetch(url)).json()
process.stdout.write(multiaddrs[0] + '\n')

for await (const _line of createInterface({ input: process.stdin })) {
  const counters = await (await fetch(new URL('/measured', url))).json()
  process.stdout.write(JSON.stringify({ ...counters, ...memory?.peak() }) + '\n')
}
await worker.dispose()
