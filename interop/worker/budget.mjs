// Events that may make few requests, with the platform's limit enforced under the bindings (js/limits.js). In a Durable Object the
// work goes on in alarms, and the client notices nothing. In plain mode the connection ends; the client comes back under its
// peer id and goes on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kubo } from './kubo.mjs'
import { logged, persist, scratch, serve, spread } from './lab.mjs'

/** Requests an event. The DAG takes a listing, and one read at least of each CAR and of its index. */
const MAY = 60
const CARS = 30
const LEAVES = 2000
const SIZE = 64 * 1024

async function served (t, mode, { may = MAY, linked = false } = {}) {
  const folder = await scratch(t)
  const made = await spread(folder, { cars: CARS, leaves: LEAVES, size: SIZE, linked })
  const limits = { HOVERBOARD_REQUESTS: `${may}`, HOVERBOARD_DEBUG: '1', HOVERBOARD_DEBUG_REQUESTS: `${may}` }
  return { ...made, folder, ...await serve(t, { cars: made.cars, folder, mode, variables: limits }) }
}

function within (log) {
  assert.ok(!log.some((line) => line.includes('Too many subrequests')), 'the platform had to refuse a request')
}

test(`${LEAVES} blocks by ${MAY} requests an event: an object goes on in its alarm`, async (t) => {
  const { address, all, trial, log } = await served(t, 'object')
  const { dials, seconds } = await persist(address, all, { 'in-flight': 512 })
  const { calls } = await trial()
  t.diagnostic(`${dials} connections, ${seconds.toFixed(1)} s, ${JSON.stringify(calls)}`)
  assert.ok(calls.get > MAY, 'one event would have been enough')
  assert.equal(dials, 1)
  within(log)
})

test(`${LEAVES} blocks by ${MAY} requests a connection: the client comes back`, async (t) => {
  const { address, all, trial, log } = await served(t, 'plain')
  const { dials, seconds } = await persist(address, all, { 'in-flight': 512, patience: 15 })
  const { calls } = await trial()
  t.diagnostic(`${dials} connections, ${seconds.toFixed(1)} s, ${JSON.stringify(calls)}`)
  assert.ok(dials > 1, 'one connection was enough')
  assert.ok(logged(log, 'closed').some(({ reason }) => reason.includes('come back')))
  within(log)
})

test(`${LEAVES} blocks by ${MAY} requests a connection: a kubo that has us in Peering.Peers`, async (t) => {
  const { address, folder, root, trial, log } = await served(t, 'plain', { linked: true })
  const ipfs = await kubo(t, folder, address)
  const begun = performance.now()
  await ipfs('pin', 'add', '--progress=false', root)
  const seconds = (performance.now() - begun) / 1000
  const connections = logged(log, 'closed').length + 1
  t.diagnostic(`${connections} connections, ${seconds.toFixed(1)} s, ${JSON.stringify((await trial()).calls)}`)
  assert.ok(connections > 1, 'one connection was enough')
  within(log)
})
