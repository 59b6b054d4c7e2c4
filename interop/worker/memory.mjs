// The memory of a peer, and what happens when there is none. Who has a root asks for what is below it, and what is below it is
// found by what is remembered of the peer alone: so it is remembered before the root leaves.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { persist, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

/** Of a block, and of no other message. */
const LARGE = 2048

/** Seconds that a client waits for anything: helia gives up a stream that is silent for so long. */
const PATIENCE = 10

async function served (t) {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', '400', '--size', '4096', car])
  return { car, ...await serve(t, { cars: [car], folder, indexed: false }) }
}

for (const fault of ['trap', 'abort']) {
  test(`a peer is known when it has its root, also if that was the last word: ${fault}`, async (t) => {
    const { address, car, trial } = await served(t)
    await trial({ sends: { every: 1, times: 1, fault, least: LARGE } })
    const { dials } = await persist(address, car, { 'in-flight': 8, patience: 3 })
    const { calls, faults } = await trial()
    t.diagnostic(`${dials} connections, ${JSON.stringify(calls)}`)
    assert.equal(faults, 1)
    assert.ok(dials > 1, 'the fault was not felt')
    assert.equal(calls.list, 1)
  })
}

for (const memory of ['fails', 'hangs']) {
  test(`a peer is served while its memory ${memory}`, async (t) => {
    const { address, car, trial } = await served(t)
    await trial({ memory })
    const { dials, seconds } = await persist(address, car, { 'in-flight': 8, patience: PATIENCE })
    t.diagnostic(`${seconds.toFixed(1)} s`)
    assert.equal(dials, 1)
  })
}
