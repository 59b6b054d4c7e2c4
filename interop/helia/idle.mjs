// Connects to peers, fetches one block, and stays connected until it is killed; prints `connected` when it is.
//
//   node idle.mjs CID PEER_MULTIADDR…
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { startNode } from './node.mjs'

const [name, ...peers] = process.argv.slice(2)
if (peers.length === 0) {
  console.error('usage: node idle.mjs CID PEER_MULTIADDR…')
  process.exit(2)
}

const helia = await startNode()
for (const peer of peers) await helia.libp2p.dial(multiaddr(peer))
for await (const _chunk of await helia.blockstore.get(CID.parse(name)));
console.log('connected')
