// Serves the blocks of CARs over a WebSocket until it is killed; prints its multiaddrs when it is ready.
//
//   node serve.mjs LISTEN_MULTIADDR FILE.car…
import { createReadStream } from 'node:fs'
import { CarBlockIterator } from '@ipld/car'
import { startNode } from './node.mjs'

const [listen, ...files] = process.argv.slice(2)
if (listen == null || files.length === 0) {
  console.error('usage: node serve.mjs LISTEN_MULTIADDR FILE.car…')
  process.exit(2)
}

const helia = await startNode([listen])
for (const file of files) {
  for await (const { cid, bytes } of await CarBlockIterator.fromIterable(createReadStream(file))) {
    await helia.blockstore.put(cid, bytes)
  }
}
for (const address of helia.libp2p.getMultiaddrs()) console.log(address.toString())
