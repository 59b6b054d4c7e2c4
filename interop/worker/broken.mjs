// A bucket that is not what it should be: a CAR that is gone, replaced, or never came, an index that lies, is cut short or
// unsorted. Each is a line in the log that names the key; no block goes out unchecked; what is whole is served all the same.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { begin, logged, persist, scratch, serve, spread, TRIAL_BENCH } from './lab.mjs'

/** The head of a MultihashIndexSorted over one length of digests: codec, hash functions, hash code, widths, width, length. */
const HEAD = { codec: 2, functions: 4, code: 8, widths: 4, width: 4, length: 8 }
const ENTRIES = Object.values(HEAD).reduce((sum, bytes) => sum + bytes)
const ENTRY = 40

/** What is done to the index of a CAR. */
const lies = {
  'an index whose offsets are wrong': (index) => {
    for (let at = ENTRIES; at < index.length; at += ENTRY) index.writeBigUInt64LE(index.readBigUInt64LE(at + 32) + 9n, at + 32)
    return index
  },
  'an index that is cut short': (index) => index.subarray(0, index.length - 21),
  'an index that is not sorted': (index) => {
    const entries = index.subarray(ENTRIES)
    const first = Buffer.from(entries.subarray(0, ENTRY))
    entries.copyWithin(0, entries.length - ENTRY)
    first.copy(entries, entries.length - ENTRY)
    return index
  },
  'an index of garbage': (index) => Buffer.alloc(index.length, 0xff)
}

/** A bucket with a DAG in one CAR, and another in another. */
async function bucket (t) {
  const folder = await scratch(t)
  const shape = { cars: 1, leaves: 200, size: 5000 }
  const broken = await spread(await scratch(t), { ...shape, seed: 1 })
  const whole = await spread(await scratch(t), { ...shape, seed: 2 })
  const served = await serve(t, { cars: [...broken.cars, ...whole.cars], folder, indexed: false })
  const { objects } = await served.bucket.list({ prefix: `dudewhere/${broken.root}/` })
  const name = objects[0].key.split('/')[2]
  const keys = { car: `carpark/${name}/${name}.car`, index: `satnav/${name}/${name}.car.idx` }
  return { ...served, broken, whole, keys, name }
}

/** What is broken is not served, and what is whole is. */
async function holds ({ address, broken, whole, log, name }) {
  const args = ['persist', address, '--car', broken.all, '--patience', '3', '--within', '1']
  const { code, errors } = await begin(TRIAL_BENCH, args).ended
  assert.equal(code, 1, 'it was served')
  // Neither a wrong block nor a word that there is none, but silence.
  assert.match(errors, /blocks have not come within the time/)
  const { dials } = await persist(address, whole.all, {})
  assert.equal(dials, 1)
  const faults = logged(log, 'fault').map(({ key }) => key)
  assert.ok(faults.some((key) => key.includes(name)), `no line of the log names ${name}: ${faults}`)
}

for (const [what, lie] of Object.entries(lies)) {
  test(what, async (t) => {
    const made = await bucket(t)
    const index = Buffer.from(await (await made.bucket.get(made.keys.index)).arrayBuffer())
    await made.bucket.put(made.keys.index, lie(index))
    await holds(made)
  })
}

test('a root without its CAR', async (t) => {
  const made = await bucket(t)
  await made.bucket.delete(Object.values(made.keys))
  await holds(made)
})

test('a CAR that is deleted under its index', async (t) => {
  const made = await bucket(t)
  await made.bucket.delete(made.keys.car)
  await holds(made)
})

test('a CAR that is replaced under its index', async (t) => {
  const made = await bucket(t)
  const { size } = await made.bucket.head(made.keys.car)
  await made.bucket.put(made.keys.car, Buffer.alloc(size, 7))
  await holds(made)
})
