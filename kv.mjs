// KV that shows a write only after a minute, and remembers that there was nothing: a peer in plain mode comes back in the middle of a
// DAG, asks for blocks that are no root of anything, and is served. What its instance remembers bridges the minute.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { persist, scratch, serve, spread } from './lab.mjs'

/** Milliseconds until a write is seen. */
const UNSEEN = 60_000

test('a peer that comes back in plain mode is found before KV shows it', async (t) => {
  const folder = await scratch(t)
  const { cars, all } = await spread(folder, { cars: 4, leaves: 400, size: 4096 })
  const { address, trial } = await serve(t, { cars, folder, mode: 'plain' })
  // The first messages go out; then sending fails, again and again.
  await trial({ kv: UNSEEN, sends: { every: 40, times: 5, fault: 'throw' } })
  const { dials } = await persist(address, all, { 'in-flight': 8 })
  const { calls } = await trial()
  t.diagnostic(`${dials} connections, ${JSON.stringify(calls)}`)
  assert.ok(dials >= 5, `${dials} connections`)
  assert.ok(calls['kv get'] >= 1 && calls['kv put'] >= 1, 'KV was not asked')
})
