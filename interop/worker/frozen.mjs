// Sessions with a thousand open wants, frozen and thawed after every event: what an event leaves undone goes on, and the client
// neither waits for long nor loses its connection.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { persist, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

/** Of a ping's answer, 30 bytes in all, a part. */
const MESSAGE = 20

const variables = { HOVERBOARD_DEBUG: '1', HOVERBOARD_DEBUG_FORGET: '1' }

async function fetched (t, blocks, size, manner) {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', `${blocks}`, '--size', `${size}`, car])
  const { address, trial } = await serve(t, { cars: [car], folder, variables })
  const { dials, seconds } = await persist(address, car, { patience: 4, within: 40, ...manner })
  const { calls, sends } = await trial()
  t.diagnostic(`${dials} connections, ${seconds.toFixed(1)} s, ${sends} messages, ${JSON.stringify(calls)}`)
  assert.equal(dials, 1)
  return sends
}

test('1,024 wants of 64 KiB', async (t) => {
  await fetched(t, 1200, 64 * 1024, { 'in-flight': 1024, frame: 16 })
})

test('two messages to a frame: what is sent does not grow with what is received', async (t) => {
  const sends = await fetched(t, 1000, 100, { 'in-flight': 64, message: MESSAGE })
  assert.ok(sends < 1000, `${sends} messages`)
})
