// Objects that lose everything: a reset, as a deploy or a crash is one, closes all sockets and takes the wasm instance with what
// it remembered. A client that comes back in the middle of a DAG asks for blocks that are no root of anything, and is served
// out of what was remembered under its peer id: nothing is listed again.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { begin, long, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const RESETS = long ? 20 : 5

/** The next message is the last thing that the instance does. */
const strike = { sends: { every: 1, times: 1, fault: 'trap' } }

/**
 * Between the loss of an instance and the client's return there may be no object: one that is not there cannot be reset. And one to
 * which the client has come back is at work for as long as the client is, unless its instance is lost once more.
 */
async function reset (evict, trial, tries = 100) {
  try {
    const evicted = evict('close').then(() => true)
    while (!await Promise.race([evicted, pause(500, false)])) await trial(strike)
  } catch (error) {
    if (tries === 0 || !String(error).includes('not currently running')) throw error
    await pause(20)
    await reset(evict, trial, tries - 1)
  }
}

test(`a client comes back after each of ${RESETS} resets, and nothing is listed again`, async (t) => {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', `${RESETS * 3000}`, '--size', '4096', car])
  const { address, trial, evict } = await serve(t, { cars: [car], folder, indexed: false })
  const args = ['persist', address, '--car', car, '--in-flight', '1', '--within', '50']
  const client = begin(TRIAL_BENCH, args)
  t.after(() => client.child.kill())
  const ended = client.ended.then(() => true)

  let resets = 0
  let sends = 0
  while (resets < RESETS && !await Promise.race([ended, pause(50, false)])) {
    const { sends: now } = await trial()
    // It got something since the last time.
    if (now < sends + 100) continue
    sends = now
    await trial(strike)
    await pause(20)
    await reset(evict, trial)
    resets += 1
  }
  assert.equal(resets, RESETS, `the DAG was through too soon: ${client.errors()}`)
  const { value } = await client.lines.next()
  const { code, errors } = await client.ended
  assert.equal(code, 0, errors)
  const [dials, seconds] = value.split(' ').map(Number)
  const { calls, faults } = await trial()
  t.diagnostic(`${dials} connections, ${seconds.toFixed(1)} s, ${JSON.stringify(calls)}`)
  assert.ok(faults >= RESETS, `${faults} losses before ${RESETS} resets`)
  assert.ok(dials > RESETS, `${dials} connections after ${RESETS} resets`)
  assert.ok(dials <= RESETS + faults + 1, `a storm: ${dials} connections after ${RESETS} resets and ${faults} losses`)
  assert.equal(calls.list, 1)
})
