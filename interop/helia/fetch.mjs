// Fetches whole DAGs from one peer and writes every block once, in the order it arrived, to a CAR.
//
//   node fetch.mjs [--redial] PEER_MULTIADDR OUT.car ROOT…
//
// With --redial a peer that goes away is dialled again until it is back. Without, nothing more comes from it.
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { CarWriter } from '@ipld/car'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { links } from './links.mjs'
import { startNode } from './node.mjs'

// What helia itself keeps in a wantlist: more would only wait in it.
const WANTS_AT_ONCE = 1024
const REDIAL_PAUSE_MS = 100

const { values, positionals } = parseArgs({ allowPositionals: true, options: { redial: { type: 'boolean' } } })
const [peer, out, ...names] = positionals
if (peer == null || out == null || names.length === 0) {
  console.error('usage: node fetch.mjs [--redial] PEER_MULTIADDR OUT.car ROOT…')
  process.exit(2)
}

const roots = names.map((name) => CID.parse(name))
const helia = await startNode()
await helia.libp2p.dial(multiaddr(peer))
if (values.redial) helia.libp2p.addEventListener('peer:disconnect', redial)

async function redial () {
  while (helia.libp2p.status === 'started' && helia.libp2p.getConnections().length === 0) {
    await setTimeout(REDIAL_PAUSE_MS)
    await helia.libp2p.dial(multiaddr(peer)).catch(() => {})
  }
}

const { writer, out: bytes } = CarWriter.create(roots)
const written = pipeline(Readable.from(bytes), createWriteStream(out))

const seen = new Set()
const waiting = []
const summary = { blocks: 0, bytes: 0 }

function want (cid) {
  if (!seen.has(cid.toString())) {
    seen.add(cid.toString())
    waiting.push(cid)
  }
}

async function fetch (cid) {
  const data = await collect(await helia.blockstore.get(cid))
  summary.blocks += 1
  summary.bytes += data.byteLength
  await writer.put({ cid, bytes: data })
  links(cid, data).forEach(want)
}

// A blockstore answers with chunks: a block is all of them.
async function collect (chunks) {
  const parts = []
  for await (const chunk of chunks) parts.push(chunk)
  return parts.length === 1 ? parts[0] : Buffer.concat(parts)
}

// Each fetched block starts as many others as there is room for.
roots.forEach(want)
await new Promise((resolve, reject) => {
  let running = 0
  function next () {
    while (waiting.length > 0 && running < WANTS_AT_ONCE) {
      running += 1
      fetch(waiting.shift()).then(() => {
        running -= 1
        next()
      }, reject)
    }
    if (running === 0) resolve()
  }
  next()
})

await writer.close()
await written
await helia.stop()
console.log(JSON.stringify(summary))
process.exit(0)
