// A peer in plain mode that comes back in the middle of a DAG asks for blocks that are no root of anything. Its instance remembers
// what it was reading, and KV does; but KV shows what was written elsewhere only after up to a minute.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { persist, scratch, serve, spread } from './lab.mjs'

/** Milliseconds until KV shows what was written. */
const UNSEEN = 60_000

async function comeBack (t, plan) {
  const folder = await scratch(t)
  const { cars, all } = await spread(folder, { cars: 4, leaves: 400, size: 4096 })
  const { address, trial } = await serve(t, { cars, folder, mode: 'plain', indexed: false })
  await trial(plan)
  const { dials } = await persist(address, all, { 'in-flight': 8, patience: 2, within: 30 })
  const { calls, faults } = await trial()
  t.diagnostic(`${dials} connections, ${JSON.stringify(calls)}`)
  assert.ok(faults > 0 && dials > faults, `${dials} connections, ${faults} faults`)
  assert.equal(calls.list, 1)
  return calls
}

test('a peer that comes back is served before KV shows it', async (t) => {
  await comeBack(t, { kv: UNSEEN, sends: { every: 40, times: 5, fault: 'throw' } })
})

test('a peer that comes back is found in KV', async (t) => {
  const calls = await comeBack(t, { sends: { every: 40, times: 5, fault: 'throw' } })
  assert.ok(calls['kv put'] >= 1, 'nothing was written')
})
