// Messages of other shapes. libp2p is a stream of bytes on a WebSocket: where a message ends says nothing.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { persist, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const MIB = 1024 * 1024

/** What the Worker closes a connection with. */
const PROTOCOL_ERROR = 1002
const UNSUPPORTED_DATA = 1003

async function served (t, mode) {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', '400', '--size', '1024', car])
  return { car, ...await serve(t, { cars: [car], folder, mode }) }
}

/** Says something on a WebSocket, and returns the code it is closed with. */
async function say (url, message) {
  const socket = new WebSocket(url)
  await once(socket, 'open')
  socket.send(message)
  const [{ code }] = await once(socket, 'close')
  return code
}

for (const mode of ['object', 'plain']) {
  test(`the stream may be cut anywhere: ${mode}`, async (t) => {
    const { address, car } = await served(t, mode)
    const shapes = {
      'half a frame per message': { message: 700 },
      'a byte per message': { message: 1, 'in-flight': 4 },
      'ten frames per message': { frame: 10 },
      'ten frames and a half per message': { frame: 10, message: 1000 }
    }
    for (const [shape, options] of Object.entries(shapes)) {
      const { dials } = await persist(address, car, { 'in-flight': 399, ...options })
      assert.equal(dials, 1, shape)
    }
  })

  test(`what is no libp2p is closed with a code that says why, and the others go on: ${mode}`, async (t) => {
    const { address, url, car } = await served(t, mode)
    const others = persist(address, car, { count: 4, 'in-flight': 1 })
    const ws = url.href.replace('http', 'ws')
    assert.equal(await say(ws, 'text'), UNSUPPORTED_DATA)
    assert.equal(await say(ws, new Uint8Array(MIB + 1)), PROTOCOL_ERROR)
    assert.equal(await say(ws, new Uint8Array(32 * MIB)), PROTOCOL_ERROR)
    const { dials } = await others
    assert.equal(dials, 4)
  })
}
