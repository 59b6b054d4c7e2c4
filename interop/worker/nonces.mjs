// No two frames under one key and counter: that would give away what is in both. Clients fetch side by side while the Worker
// is struck at the moment when a message leaves, again and again; they come back and go on. Their recorder
// (bench/src/recorder.rs) opens every frame that reaches them, and notices a counter that came twice.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { begin, long, run, scratch, serve, TRIAL_BENCH } from './lab.mjs'

const CLIENTS = 6

/**
 * How often, and for how many seconds a client waits for anything. Local workerd leaves the sockets of an aborted object open until
 * somebody asks for the object again, so that each strike costs as much.
 */
const MANNER = {
  throw: { strikes: long ? 400 : 60, patience: 3 },
  trap: { strikes: long ? 400 : 60, patience: 3 },
  abort: { strikes: long ? 40 : 8, patience: 1 }
}

/** Coprime to what repeats in a fetch, so that it strikes everywhere. */
const EVERY = 23

async function strike (t, fault, { variables, careless = false } = {}) {
  const { strikes, patience } = MANNER[fault]
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', `${strikes * 12}`, '--size', '2048', car])
  const { address, trial } = await serve(t, { cars: [car], folder, variables })
  await trial({ careless, sends: { every: EVERY, times: strikes, fault } })
  const args = ['persist', address, '--car', car, '--count', `${CLIENTS}`, '--in-flight', '3', '--patience', `${patience}`]
  const { lines, ended } = begin(TRIAL_BENCH, args)
  const { code, errors } = await ended
  const { faults } = await trial()
  const { value } = await lines.next()
  return { code, errors, strikes, faults, dials: Number(value?.split(' ')[0]) }
}

const frozen = { HOVERBOARD_DEBUG: '1', HOVERBOARD_DEBUG_FORGET: '1' }

for (const fault of ['throw', 'trap', 'abort']) {
  for (const variables of [undefined, frozen]) {
    test(`no counter comes twice: ${fault}${variables ? ', frozen after every event' : ''}`, async (t) => {
      const struck = await strike(t, fault, { variables })
      t.diagnostic(`${struck.faults} strikes, ${struck.dials} connections`)
      assert.equal(struck.code, 0, struck.errors)
      assert.equal(struck.faults, struck.strikes)
      assert.ok(struck.dials > CLIENTS, 'no strike was felt')
    })
  }
}

test('the recorder notices a session that goes on from an old state', async (t) => {
  const struck = await strike(t, 'trap', { careless: true })
  assert.equal(struck.code, 1)
  assert.match(struck.errors, /two frames were sealed under one counter/)
})
