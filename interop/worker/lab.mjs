// What the tests of the Worker share: the Worker in workerd under the shim, a bucket that was filled by `hoverboard import`,
// and the clients. `cargo xtask test` says in the environment where the programs are.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { car, dag, text } from './dag.mjs'
import { identity } from './identity.mjs'
import { start } from './workerd.mjs'

/** Where the programs are, and whether there is time for the long form of a test. */
export const { TRIAL_WORKER, TRIAL_HOVERBOARD, TRIAL_BENCH, TRIAL_IPFS } = process.env
export const long = process.env.TRIAL_LONG === '1'

/** Whether to say what the Worker logs, for who looks for a fault. */
const loud = process.env.TRIAL_LOG === '1'

const shims = ['shim.js', 'shim-r2.js', 'shim-kv.js', 'shim-sends.js']

/** A folder that is gone after the test. */
export async function scratch (t) {
  const folder = await mkdtemp(join(tmpdir(), 'hoverboard-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/**
 * The Worker with these CARs in its bucket: its multiaddr, and what a test can do to it. `fresh` is for who looks at its
 * memory: another workerd has filled the bucket then. Without `indexed` the bucket has no index of all blocks, so that a block
 * below a root is found by what is remembered of the peer, or not at all.
 */
export async function serve (t, { cars, folder, mode = 'object', variables = {}, fresh = false, indexed = true }) {
  const own = shims.map((name) => ({
    type: 'ESModule',
    path: join(TRIAL_WORKER, name),
    contents: readFileSync(join(import.meta.dirname, name), 'utf8')
  }))
  const modules = [...own, { type: 'ESModule', path: join(TRIAL_WORKER, 'index.js') }]
  modules.push({ type: 'CompiledWasm', path: join(TRIAL_WORKER, 'hoverboard.wasm') })
  const log = []
  const settings = {
    folder: TRIAL_WORKER,
    mode,
    name: 'trial',
    modules,
    state: fresh ? join(folder, 'state') : undefined,
    variables: { HOVERBOARD_MODE: mode, HOVERBOARD_OBJECTS: '1', HOVERBOARD_IDENTITY: identity, ...variables },
    handleRuntimeStdio: into(log)
  }
  let { worker, url } = await start(settings)
  t.after(() => worker.dispose())
  const filled = await imported(cars, join(folder, 'bucket'))
  if (!indexed) await rm(join(filled, 'index'), { recursive: true })
  await fill(await worker.getR2Bucket('BUCKET'), filled)
  if (fresh) {
    await worker.dispose()
    ;({ worker, url } = await start(settings))
  }
  const bucket = await worker.getR2Bucket('BUCKET')
  const trial = async (plan) => {
    const options = plan === undefined ? {} : { method: 'POST', body: JSON.stringify(plan) }
    return (await fetch(new URL('/trial', url), options)).json()
  }
  const { multiaddrs } = await (await fetch(url)).json()
  const evict = (webSockets) => worker.unsafeEvictDurableObject('trial', 'Peers', { name: 'peers-0', webSockets })
  return { address: multiaddrs[0], url, bucket, trial, evict, log, workerd }
}

/** Has all that workerd says added to a log, line by line. */
export function into (log) {
  return (stdout, stderr) => {
    for (const stream of [stdout, stderr]) createInterface(stream).on('line', (line) => {
      log.push(line)
      if (loud) process.stderr.write(line + '\n')
    })
  }
}

/** The events of one kind in a log. */
export function logged (log, event) {
  return log.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)).filter((line) => line.event === event)
}

/** Imports CARs into a folder, and returns it. */
export async function imported (cars, folder) {
  await run(TRIAL_HOVERBOARD, ['import', ...cars, '--to', folder])
  return folder
}

/** Copies a folder into a bucket. */
export async function fill (bucket, folder) {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) await bucket.put(relative(folder, path), await readFile(path))
  }
}

/** A program that runs: what it prints, line by line, and how it ends. */
export function begin (program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
  let errors = ''
  child.stderr.on('data', (data) => { errors += data })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(([code]) => ({ code, errors }))
  return { child, lines, ended, errors: () => errors }
}

/** Runs a program to its end, and returns what it printed. */
export async function run (program, args, options) {
  const { lines, ended } = begin(program, args, options)
  const printed = []
  for await (const line of lines) printed.push(line)
  const { code, errors } = await ended
  if (code !== 0) throw new Error(`${program} ${args[0]} exits with ${code}: ${errors}`)
  return printed
}

/** Fetches all blocks of a CAR, by `hoverboard-bench persist`; returns the number of connections and the seconds. */
export async function persist (address, car, options) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`])
  const [line] = await run(TRIAL_BENCH, ['persist', address, '--car', car, ...args])
  const [dials, seconds] = line.split(' ').map(Number)
  return { dials, seconds }
}

/** What a new peer is told of blocks that it asks for first. */
export async function told (address, cids) {
  const { lines, ended } = begin(TRIAL_HOVERBOARD, ['check', address, ...cids, '--timeout', '5s'])
  const said = {}
  for await (const line of lines) {
    const [, cid, what] = /^block +(\S+) (.*)$/.exec(line) ?? []
    if (cid !== undefined) said[cid] = what
  }
  await ended
  return cids.map((cid) => said[cid])
}

/**
 * Blocks that are spread over CARs, all of which are found by one root: the first leaf, or a block that links to all of
 * them. And one CAR with all leaves, for who has to know what to ask for.
 */
export async function spread (folder, { cars, linked = false, ...shape }) {
  const { root, leaves } = dag(shape)
  const found = linked ? root : leaves[0]
  const paths = Array.from({ length: cars }, (_, n) => join(folder, `part-${n}.car`))
  for (const [n, path] of paths.entries()) {
    const blocks = leaves.filter((_, leaf) => Math.floor(leaf * cars / leaves.length) === n)
    await car(path, found, n === 0 && linked ? [root, ...blocks] : blocks)
  }
  const all = join(folder, 'all.car')
  await car(all, leaves[0], leaves)
  return { cars: paths, all, leaves, root: text(found.cid) }
}

/** The process of the workerd that runs. */
function workerd () {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ')
  return children.find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('workerd'))
}
