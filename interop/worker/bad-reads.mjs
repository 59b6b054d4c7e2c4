// R2 on a bad day: of all reads, indexes among them, a tenth fails with an error, stalls, is cut short, breaks off, or brings a
// wrong byte. Every block arrives in the end, none of them wrong, and nobody is told that one is not there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { long, persist, scratch, serve, spread } from './lab.mjs'

const PASSES = long ? 8 : 3

async function pass (t, mode, plan, { passes, patience = 5, least }) {
  const folder = await scratch(t)
  const { cars, all } = await spread(folder, { cars: 40, leaves: 2000, size: 4096 })
  const { address, trial, evict } = await serve(t, { cars, folder, mode })
  await trial({ r2: plan })
  let dialled = 0
  for (let pass = 0; pass < passes; pass += 1) {
    const { dials } = await persist(address, all, { 'in-flight': 200, patience, within: 100 })
    dialled += dials
    // What was read is forgotten. In plain mode nothing is shared by connections.
    if (mode === 'object') await evict('hibernate')
  }
  const { calls, faults } = await trial()
  t.diagnostic(`${mode}: ${dialled} connections in ${passes} passes, ${faults} faults of ${calls.get} reads`)
  assert.ok(faults >= least, `only ${faults} faults of ${calls.get} reads`)
}

for (const mode of ['object', 'plain']) {
  test(`a tenth of the reads fails: ${mode}`, async (t) => {
    const faults = ['error', 'cut', 'break', 'wrong']
    await pass(t, mode, { rate: 0.1, seed: 7, faults }, { passes: PASSES, least: 2 * PASSES })
  })
}

test('some of the reads stall', async (t) => {
  await pass(t, 'object', { rate: 0.03, seed: 7, faults: ['stall'] }, { passes: 1, patience: 25, least: 1 })
})
