// Clients that grant MiBs, sixteen in the long form, ask for much, and read no more: what is unsent is bounded, and the others are served meanwhile.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { begin, long, persist, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const CLIENTS = 50
const MIB = 1024 * 1024

/** Of which wasm memory is 96 MiB at most, and what was seen 140 MiB in all: wants count as well as what is unsent. */
const MAY_GROW = 160 * MIB

const resident = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024

test(`${CLIENTS} clients that never read`, async (t) => {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', '2000', '--size', '65536', car])
  const { address, workerd } = await serve(t, { cars: [car], folder, fresh: true })
  // What it takes to serve at all.
  await persist(address, car, { 'in-flight': 64, count: 4 })
  const pid = workerd()
  const before = resident(pid)
  const idlers = begin(TRIAL_BENCH, ['unread', address, '--car', car, '--count', `${CLIENTS}`, '--read', long ? '512' : '128'])
  t.after(() => idlers.child.kill())
  const { value } = await idlers.lines.next()
  assert.equal(value, 'asked', idlers.errors())
  let most = 0
  const served = persist(address, car, { 'in-flight': 64 }).then(() => true)
  while (!await Promise.race([served, pause(100, false)])) most = Math.max(most, resident(pid) - before)
  const { dials } = await persist(address, car, { 'in-flight': 64 })
  most = Math.max(most, resident(pid) - before)
  t.diagnostic(`${(most / MIB).toFixed(0)} MiB more than before`)
  assert.equal(dials, 1)
  assert.ok(most <= MAY_GROW, `${(most / MIB).toFixed(0)} MiB more`)
})
