// Puts the files of a folder into local R2, each whole.
//
//     node fill.mjs STATE BUCKET
//
// STATE is where local R2 is kept, BUCKET a folder in the bucket's layout. The measurements need it: what was uploaded in parts, as
// dev.mjs does with large files, the simulation of R2 puts together in JavaScript on every read, which costs several times what
// is to be measured.
import { openAsBlob } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { Miniflare } from 'miniflare'

const [state, bucket] = process.argv.slice(2)

// From within a Worker, because an upload from here would be one string.
const script = `
  export default {
    async fetch (request, { BUCKET }) {
      await BUCKET.put(decodeURI(new URL(request.url).pathname.slice(1)), request.body)
      return new Response()
    }
  }
`

const worker = new Miniflare({
  host: '127.0.0.1',
  cf: false,
  modules: true,
  script,
  compatibilityDate: '2026-03-01',
  r2Buckets: ['BUCKET'],
  r2Persist: join(state, 'r2')
})
const url = await worker.ready
const r2 = await worker.getR2Bucket('BUCKET')
for await (const entry of await opendir(bucket, { recursive: true })) {
  if (!entry.isFile()) continue
  const path = join(entry.parentPath, entry.name)
  const key = relative(bucket, path).split(sep).join('/')
  if (await r2.head(key) !== null) continue
  const { ok, status } = await fetch(new URL(encodeURI(key), url), { method: 'PUT', body: await openAsBlob(path) })
  if (!ok) throw new Error(`${key}: ${status}`)
}
await worker.dispose()
