// Sessions that outlive the memory of their object: between two rounds of wants, of a hundred clients at a time, the object is
// evicted and its sockets stay. No client notices. That an eviction succeeds at once shows that no timer, promise or open
// body outlives an event: while something is pending, it waits.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { begin, logged, long, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const SESSIONS = 100
const ROUNDS = long ? 10 : 4

/** An eviction that takes longer, in milliseconds, had to wait for something. */
const AT_ONCE = 2_000

/** How long a silent object is left in memory by local workerd, and some more. */
const NATURAL = 12_000

async function sessions (t, rounds, between) {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', '4000', '--size', '4096', car])
  const served = await serve(t, { cars: [car], folder })
  const args = ['rounds', served.address, '--car', car, '--count', `${SESSIONS}`, '--rounds', `${rounds}`]
  const clients = begin(TRIAL_BENCH, args)
  t.after(() => clients.child.kill())
  for (let round = 0; round <= rounds; round += 1) {
    const { value } = await clients.lines.next()
    assert.equal(value, `round ${round}`, clients.errors())
    if (round < rounds) await between(served, round)
    clients.child.stdin.write('\n')
  }
  const { code, errors } = await clients.ended
  assert.equal(code, 0, errors)
  assert.deepEqual(logged(served.log, 'not thawed'), [])
  const { made } = await served.trial()
  assert.ok(made > rounds, `the object was made ${made} times in ${rounds} rounds`)
  return served
}

test(`${SESSIONS} sessions go on after each of ${ROUNDS} evictions`, async (t) => {
  const times = []
  await sessions(t, ROUNDS, async ({ evict }) => {
    const begun = performance.now()
    await evict('hibernate')
    times.push(Math.round(performance.now() - begun))
  })
  t.diagnostic(`evictions took ${times.join(', ')} ms`)
  assert.ok(Math.max(...times) <= AT_ONCE, `an eviction had to wait: ${times.join(', ')} ms`)
})

test(`${SESSIONS} sessions go on after a silence`, { skip: !long && 'only in the long form' }, async (t) => {
  await sessions(t, 3, () => pause(NATURAL))
})
