// A trap under one peer, with others in the middle of a DAG and a thousand wants open: what is under way for them is more than an
// attachment holds. They keep their connections, and notice nothing.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { logged, long, persist, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const NEIGHBOURS = 3
const BLOCKS = long ? 6000 : 2000
const TRAPS = long ? 40 : 8
const LEAST = long ? 10 : 3

/** Messages to all of them, after which no handshake is under way any more: that cannot be kept. */
const BEGUN = 100

/** What the guilty one is told. */
const INTERNAL_ERROR = 1011

/** Connects, and takes the instance along. */
async function trap (url) {
  const socket = new WebSocket(url)
  await once(socket, 'open')
  socket.send('trap')
  const [{ code }] = await once(socket, 'close')
  assert.equal(code, INTERNAL_ERROR)
}

test(`${NEIGHBOURS} peers with 1,024 wants outlive the traps of another`, async (t) => {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', `${BLOCKS}`, '--size', '65536', car])
  const variables = { HOVERBOARD_DEBUG: '1', HOVERBOARD_DEBUG_FAULT: 'panic@text' }
  const { address, url, log, trial } = await serve(t, { cars: [car], folder, variables })
  const fetched = persist(address, car, { count: NEIGHBOURS, 'in-flight': 1024, patience: 15, within: 100 })
  const ended = fetched.then(() => true)
  let traps = 0
  while (traps < TRAPS && !await Promise.race([ended, pause(100, false)])) {
    if ((await trial()).sends < BEGUN) continue
    await trap(url)
    traps += 1
  }
  const { dials, seconds } = await fetched
  t.diagnostic(`${traps} traps in ${seconds.toFixed(1)} s, ${dials} connections, ${JSON.stringify((await trial()).calls)}`)
  assert.ok(traps >= LEAST, `the DAG was through after ${traps} traps`)
  assert.equal(logged(log, 'instance lost').length, traps)
  assert.equal(dials, NEIGHBOURS)
})
