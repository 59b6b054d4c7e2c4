// No two frames under one key and counter: that would give away what is in both. Clients fetch side by side while the Worker
// is struck at the moment when a message leaves, again and again; they come back and go on. Their recorder
// (bench/src/recorder.rs) opens every frame that reaches them, and notices a counter that came twice.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { begin, long, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const CLIENTS = 6
const STRIKES = long ? 400 : 60

/** Coprime to what repeats in a fetch, so that it strikes everywhere. */
const EVERY = 23

async function strike (t, plan, variables) {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', `${STRIKES * 12}`, '--size', '2048', car])
  const { address, trial } = await serve(t, { cars: [car], folder, variables })
  await trial(plan)
  const args = ['persist', address, '--car', car, '--count', `${CLIENTS}`, '--in-flight', '3', '--patience', '3']
  const { lines, ended } = begin(TRIAL_BENCH, args)
  const { code, errors } = await ended
  const { faults } = await trial()
  const { value } = await lines.next()
  return { code, errors, faults, dials: Number(value?.split(' ')[0]) }
}

const frozen = { HOVERBOARD_DEBUG: '1', HOVERBOARD_DEBUG_FORGET: '1' }

// That an object is reset while it sends is shown by reset.mjs, whose client has the same recorder.
for (const fault of ['throw', 'trap']) {
  for (const variables of [undefined, frozen]) {
    test(`no counter comes twice: ${fault}${variables ? ', frozen after every event' : ''}`, async (t) => {
      const struck = await strike(t, { sends: { every: EVERY, times: STRIKES, fault } }, variables)
      t.diagnostic(`${struck.faults} strikes, ${struck.dials} connections`)
      assert.equal(struck.code, 0, struck.errors)
      assert.equal(struck.faults, STRIKES)
      assert.ok(struck.dials > CLIENTS, 'no strike was felt')
    })
  }
}

test('the recorder notices a session that goes on from an old state', async (t) => {
  const struck = await strike(t, { careless: true, sends: { every: EVERY, times: STRIKES, fault: 'trap' } })
  assert.equal(struck.code, 1)
  assert.match(struck.errors, /two frames were sealed under one counter/)
})
