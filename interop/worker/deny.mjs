// The denylist in the bucket: what is on it is not served from the moment that the instance has read it, and nothing is before.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { logged, long, run, scratch, serve, told, TRIAL_BENCH, TRIAL_HOVERBOARD } from './lab.mjs'

/** The least time between two looks at the list, in seconds, as the configuration has it. */
const REFRESH = 10

async function served (t, mode, variables = {}) {
  const folder = await scratch(t)
  const car = join(folder, 'some.car')
  await run(TRIAL_BENCH, ['generate', '--blocks', '20', '--size', '4096', car])
  const lines = await run(TRIAL_HOVERBOARD, ['ls', '--json', car])
  const listed = lines.map((line) => JSON.parse(line))
  const [root] = listed.find((line) => 'roots' in line).roots
  const cids = listed.filter((line) => 'cid' in line).map((line) => line.cid)
  const others = cids.filter((cid) => cid !== root)
  const names = { HOVERBOARD_DENYLIST: 'lists/own', HOVERBOARD_DENYLIST_REFRESH: `${REFRESH}`, ...variables }
  return { folder, root, others, ...await serve(t, { cars: [car], folder, mode, variables: names }) }
}

/** The legacy anchor of a block. */
function anchor (cid) {
  return `//${createHash('sha256').update(`${cid}/`).digest('hex')}`
}

/** In the short form each test has one of the modes: waiting for the list to be looked at again takes its time. */
const modes = (short) => long ? ['object', 'plain'] : [short]

for (const mode of modes('object')) {
  test(`a block on the list is not there, and one that is put on it later is not from then on: ${mode}`, async (t) => {
    const { address, bucket, folder, log, root, others } = await served(t, mode)
    const [one, two, three] = others
    const [list, compiled] = [join(folder, 'own.deny'), join(folder, 'own.bin')]
    await writeFile(list, `${anchor(one)}\n`)
    await run(TRIAL_HOVERBOARD, ['denylist', 'compile', '-o', compiled, list])
    await bucket.put('lists/own', await readFile(compiled))
    assert.deepEqual(await told(address, [root, one, two, three]), ['has it', 'does not have it', 'has it', 'has it'])

    await bucket.put('lists/own', `# as text\n${anchor(one)}\n/ipfs/${two}\n`)
    await sleep((REFRESH + 1) * 1000)
    assert.deepEqual(await told(address, [root]), ['has it'])
    assert.deepEqual(await told(address, [root, one, two, three]), ['has it', 'does not have it', 'does not have it', 'has it'])
    assert.deepEqual(logged(log, 'denylist').map((line) => line.rules), [1, 2])

    // What is no list leaves the last good one.
    await bucket.put('lists/own', '<html>')
    await sleep((REFRESH + 1) * 1000)
    await told(address, [root])
    assert.deepEqual(await told(address, [root, one]), ['has it', 'does not have it'])
  })
}

for (const mode of modes('plain')) {
  test(`without a list nothing is answered, until it is there: ${mode}`, async (t) => {
    const { address, bucket, root } = await served(t, mode)
    assert.deepEqual(await told(address, [root]), ['no answer'])
    await bucket.put('lists/own', '# nothing\n')
    await sleep(11_000)
    assert.deepEqual(await told(address, [root]), ['has it'])
  })
}

test('a deployment may serve without a list that is not there', async (t) => {
  const { address, root } = await served(t, 'object', { HOVERBOARD_DENYLIST_OPTIONAL: '1' })
  assert.deepEqual(await told(address, [root]), ['has it'])
})
