// CARs that anybody puts into the bucket, and takes away again: a peer that knows no root gets their blocks, or is told that they
// are not there. Local workerd has no notifications of R2, so their documented JSON is put into the queue: late, twice, in any order.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { car, dag, text } from './dag.mjs'
import { identity } from './identity.mjs'
import { fill, imported, into, logged, scratch, told, TRIAL_WORKER } from './lab.mjs'
import { start } from './workerd.mjs'

/** How long an instance trusts in what it knows of the index, in milliseconds. */
const LIFE = 10_000

/** How long a message may take until it is settled. */
const SETTLED = 30_000

/** The Worker with a consumer of notifications, and one CAR in its bucket that `hoverboard import` has put there. */
async function serve (t, variables = {}) {
  const folder = await scratch(t)
  const own = await made(folder, 'own', { leaves: 20, size: 1024, seed: 1 })
  const log = []
  const { worker, url } = await start({
    folder: TRIAL_WORKER,
    variables: { HOVERBOARD_OBJECTS: '1', HOVERBOARD_IDENTITY: identity, ...variables },
    durableObjects: {
      PEERS: { className: 'Peers', useSQLite: true },
      MEMORY: { className: 'PeerMemory', useSQLite: true },
      COMMITTER: { className: 'Committer', useSQLite: true }
    },
    queueProducers: { NOTIFICATIONS: { queueName: 'notifications' }, DEAD_LETTERS: { queueName: 'dead' } },
    queueConsumers: { notifications: { maxBatchSize: 10, maxBatchTimeout: 0.2, maxRetries: 20, deadLetterQueue: 'dead' } },
    handleRuntimeStdio: into(log)
  })
  t.after(() => worker.dispose())
  const bucket = await worker.getR2Bucket('BUCKET')
  await fill(bucket, await imported([own.path], join(folder, 'bucket')))
  const queue = await worker.getQueueProducer('NOTIFICATIONS')
  const { multiaddrs } = await (await fetch(url)).json()
  return { folder, own, bucket, queue, log, address: multiaddrs[0] }
}

/** A CAR of a DAG, and the keys that its place in the bucket has. */
async function made (folder, name, shape) {
  const { root, leaves } = dag(shape)
  const path = join(folder, `${name}.car`)
  await car(path, root, [root, ...leaves])
  const bytes = await readFile(path)
  const cid = Buffer.concat([Buffer.from([1, 0x82, 0x04, 0x12, 32]), createHash('sha256').update(bytes).digest()])
  const named = text(cid)
  return { path, bytes, key: `carpark/${named}/${named}.car`, index: `satnav/${named}/${named}.car.idx`, entry: `dudewhere/${text(root.cid)}/${named}`, leaves: leaves.map(({ cid }) => text(cid)) }
}

/** What R2 says of a CAR. */
function notification (action, { key, bytes }) {
  const object = action.endsWith('Object') && action !== 'DeleteObject' ? { key, size: bytes.length, eTag: createHash('md5').update(bytes).digest('hex') } : { key }
  return { account: '3f4b7e3dcab231cbfdaa90a6a28bd548', action, bucket: 'trial', object, eventTime: new Date().toISOString() }
}

/** Waits until a peer is told this, and says how long it took. */
async function until (address, cids, expected) {
  const begun = Date.now()
  for (;;) {
    const said = await told(address, cids)
    if (JSON.stringify(said) === JSON.stringify(expected)) return Date.now() - begun
    assert.ok(Date.now() - begun < SETTLED + LIFE, `after ${Date.now() - begun} ms: ${JSON.stringify(said)}`)
    await pause(500)
  }
}

/** Waits until something is so. */
async function so (what) {
  const begun = Date.now()
  while (!await what()) {
    assert.ok(Date.now() - begun < SETTLED, `not within ${SETTLED} ms: ${what}`)
    await pause(200)
  }
}

test('a CAR that is put there is found by any of its blocks, and not any more when it is gone', async (t) => {
  const { folder, own, bucket, queue, log, address } = await serve(t)
  const other = await made(folder, 'other', { leaves: 40, size: 2048, seed: 2 })
  const some = [other.leaves[7], other.leaves[39], own.leaves[3]]
  await until(address, some, ['does not have it', 'does not have it', 'has it'])

  await bucket.put(other.key, other.bytes)
  await queue.send(notification('PutObject', other))
  t.diagnostic(`found after ${await until(address, some, ['has it', 'has it', 'has it'])} ms`)
  assert.notEqual(await bucket.head(other.index), null)
  assert.notEqual(await bucket.head(other.entry), null)

  // Twice, and out of order: what counts is what lies there.
  const manifests = async () => (await bucket.list({ prefix: 'index/manifest/' })).objects.length
  const before = await manifests()
  for (const action of ['PutObject', 'DeleteObject', 'CompleteMultipartUpload', 'PutObject', 'CopyObject']) {
    await queue.send(notification(action, other))
  }
  await pause(3000)
  assert.deepEqual(await told(address, some), ['has it', 'has it', 'has it'])
  assert.equal(await manifests(), before)

  await bucket.delete(other.key)
  await queue.send(notification('DeleteObject', other))
  const gone = await until(address, some, ['does not have it', 'does not have it', 'has it'])
  t.diagnostic(`gone after ${gone} ms`)
  assert.ok(gone < LIFE + 10_000, `${gone} ms`)
  await so(async () => await bucket.head(other.index) === null && await bucket.head(other.entry) === null)

  // The message about the deletion once more, and late.
  await bucket.put(other.key, other.bytes)
  await queue.send(notification('LifecycleDeletion', other))
  await until(address, some, ['has it', 'has it', 'has it'])
  assert.deepEqual(logged(log, 'not indexed'), [])
})

test('many CARs at once are added in few changes, and their runs are merged', async (t) => {
  const { folder, bucket, queue, address } = await serve(t)
  const many = []
  for (let n = 0; n < 60; n += 1) many.push(await made(folder, `many-${n}`, { leaves: 10, size: 512, seed: 100 + n }))
  for (const one of many) await bucket.put(one.key, one.bytes)
  for (const one of many) await queue.send(notification('PutObject', one))
  await until(address, many.map(({ leaves }) => leaves[4]), many.map(() => 'has it'))
  const { objects } = await bucket.list({ prefix: 'index/manifest/' })
  t.diagnostic(`${objects.length} manifests`)
  assert.ok(objects.length < 30, `${objects.length} manifests`)
})

test('a CAR that is read in many events is indexed in the end', async (t) => {
  // Some 256 KiB an event.
  const { folder, bucket, queue, address } = await serve(t, { HOVERBOARD_CPU_MS: '10' })
  const long = await made(folder, 'long', { leaves: 2000, size: 1024, seed: 3 })
  await bucket.put(long.key, long.bytes)
  await queue.send(notification('CompleteMultipartUpload', long))
  await so(async () => await bucket.head(`index/reading/${long.key.split('/')[1]}`) !== null)
  await so(async () => await bucket.head(long.entry) !== null)
  assert.equal(await bucket.head(`index/reading/${long.key.split('/')[1]}`), null)
  assert.equal((await until(address, [long.leaves[1999]], ['has it'])) >= 0, true)
})

test('what cannot be indexed is a dead letter that says why, and costs the others nothing', async (t) => {
  const { folder, bucket, queue, log, address } = await serve(t)
  const [broken, sound] = [
    await made(folder, 'broken', { leaves: 10, size: 512, seed: 4 }),
    await made(folder, 'sound', { leaves: 10, size: 512, seed: 5 })
  ]
  broken.bytes[broken.bytes.length - 1] ^= 1
  for (const one of [broken, sound]) await bucket.put(one.key, one.bytes)
  await queue.send({ test: 'no notification' })
  await queue.send(notification('PutObject', broken))
  await queue.send(notification('PutObject', sound))
  await until(address, [sound.leaves[2], broken.leaves[2]], ['has it', 'does not have it'])
  await so(() => logged(log, 'not indexed').length === 2)
  const whys = logged(log, 'not indexed').map(({ key, why }) => [key, why])
  assert.ok(whys.some(([key, why]) => key === broken.key && /byte|block/.test(why)), JSON.stringify(whys))
  assert.ok(whys.some(([key, why]) => key === null && /no notification/.test(why)), JSON.stringify(whys))
})
