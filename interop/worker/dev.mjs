// The Worker on this machine, until SIGTERM or SIGINT.
//
//     node dev.mjs FOLDER STATE BUCKET PORT MODE
//
// FOLDER is what was built, STATE where local R2, KV and Durable Objects are kept, BUCKET a folder in the bucket's layout that
// is copied into R2. Variables and the secret are in the environment. When it is ready it prints its multiaddr.
import { open, opendir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { start } from './workerd.mjs'

const [folder, state, bucket, port, mode] = process.argv.slice(2)
const variables = {
  ...JSON.parse(process.env.HOVERBOARD_DEV_VARIABLES ?? '{}'),
  HOVERBOARD_IDENTITY: process.env.HOVERBOARD_DEV_IDENTITY
}

/** Bytes that are copied at a time: what is longer is uploaded in parts. */
const PART = 32 << 20

/** Copies what R2 has not, roots last: a root never names a CAR that is not there. */
async function fill (r2) {
  for (const place of ['carpark', 'satnav', 'dudewhere']) {
    for await (const path of files(join(bucket, place))) {
      const key = relative(bucket, path).split(sep).join('/')
      const file = await open(path)
      const { size } = await file.stat()
      if ((await r2.head(key))?.size !== size) await copy(file, size, r2, key)
      await file.close()
    }
  }
}

async function copy (file, size, r2, key) {
  const part = async (at) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(PART, size - at)), 0, null, at)
    return buffer.subarray(0, bytesRead)
  }
  if (size <= PART) {
    await r2.put(key, await part(0))
  } else {
    const upload = await r2.createMultipartUpload(key)
    const parts = []
    for (let at = 0; at < size; at += PART) parts.push(await upload.uploadPart(parts.length + 1, await part(at)))
    await upload.complete(parts)
  }
  process.stderr.write(`copied ${key}\n`)
}

async function * files (directory) {
  let entries
  try {
    entries = await opendir(directory, { recursive: true })
  } catch (error) {
    if (error.code === 'ENOENT') return
    throw error
  }
  for await (const entry of entries) {
    if (entry.isFile()) yield join(entry.parentPath, entry.name)
  }
}

const { worker, url } = await start({ folder, state, port: Number(port), mode, variables })

for (const signal of ['SIGTERM', 'SIGINT']) {
  // Miniflare's own would end the process at once, and as one that failed.
  process.removeAllListeners(signal)
  process.once(signal, async () => {
    await worker.dispose()
    process.exit(0)
  })
}

await fill(await worker.getR2Bucket('BUCKET'))
const response = await fetch(url)
if (!response.ok) {
  process.stderr.write(`the Worker does not start: ${(await response.text()).trim()}\n`)
  await worker.dispose()
  process.exit(1)
}
const { multiaddrs } = await response.json()
process.stdout.write(multiaddrs[0] + '\n')
