// The content-claims library against ours, both ways.
//
//   node claims.mjs read < ANSWER     reads our answer with the library, over HTTP as it does it, and compares
//   node claims.mjs make > ANSWER     an answer with a claim of each kind, made and signed by the library

import { createServer } from 'node:http'
import { Assert } from '@web3-storage/content-claims/capability'
import * as Claims from '@web3-storage/content-claims/client'
import * as Ed25519 from '@ucanto/principal/ed25519'
import { CARWriterStream } from 'carstream'
import * as Link from 'multiformats/link'
import { sha256 } from 'multiformats/hashes/sha2'
import assert from 'node:assert/strict'

const block = Link.parse('bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q')
const car = Link.parse('bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq')
const url = `https://carpark.example.com/${car}/${car}.car`

if (process.argv[2] === 'read') await read()
else if (process.argv[2] === 'make') await make()
else throw new Error('read or make')

async function read () {
  const answer = await stdin()
  const server = createServer((request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/vnd.ipld.car; version=1' })
    response.end(answer)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    const serviceURL = new URL(`http://127.0.0.1:${server.address().port}`)
    const claims = await Claims.read(block.multihash, { serviceURL })
    assert.equal(claims.length, 1)
    const [claim] = claims
    assert.equal(claim.type, 'assert/location')
    assert.deepEqual([...Claims.contentMultihash(claim).bytes], [...block.multihash.bytes])
    assert.deepEqual(claim.location.map(String), [url])
    assert.deepEqual({ ...claim.range }, { offset: 96, length: 5 })
    assert.equal(claim.delegation().issuer.did(), 'did:web:example.com')
    console.log('read')
  } finally {
    server.close()
  }
}

async function make () {
  // A key of no worth, so that the answer is the same every time.
  const signer = await Ed25519.derive(new Uint8Array(32).fill(7))
  const invoke = (capability, nb) =>
    capability.invoke({ issuer: signer, audience: signer, with: signer.did(), nb, expiration: 4_000_000_000 })
  const invocations = [
    invoke(Assert.location, { content: block, location: [url], range: { offset: 96, length: 5 } }),
    invoke(Assert.location, { content: { digest: car.multihash.bytes }, location: [url] }),
    invoke(Assert.inclusion, { content: car, includes: block }),
    invoke(Assert.index, { content: block, index: car }),
    invoke(Assert.partition, { content: block, parts: [car] }),
    invoke(Assert.relation, {
      content: block,
      children: [block],
      parts: [{ content: car, includes: { content: block, parts: [car] } }]
    }),
    invoke(Assert.equals, { content: block, equals: car })
  ]
  const blocks = []
  for (const invocation of invocations) {
    const view = await invocation.buildIPLDView()
    const { ok: bytes } = await view.archive()
    blocks.push({ cid: Link.create(0x0202, await sha256.digest(bytes)), bytes })
  }
  const stream = new ReadableStream({
    pull: controller => blocks.length ? controller.enqueue(blocks.shift()) : controller.close()
  })
  for await (const chunk of stream.pipeThrough(new CARWriterStream())) process.stdout.write(chunk)
}

async function stdin () {
  const chunks = []
  for await (const chunk of process.stdin) chunks.push(chunk)
  return Buffer.concat(chunks)
}
