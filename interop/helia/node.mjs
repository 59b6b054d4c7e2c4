// A helia node with what Bitswap over WebSockets needs and nothing else: no routing, no gateways, no WebRTC.
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import * as dagCbor from '@ipld/dag-cbor'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { blake2b } from '@noble/hashes/blake2.js'
import { blake3 } from '@noble/hashes/blake3.js'
import { createHeliaLight } from 'helia'
import { from } from 'multiformats/hashes/hasher'

// helia brings sha2 and identity; the other hashes of the test data are the caller's to add.
const hashers = [
  from({ name: 'blake2b-256', code: 0xb220, encode: (bytes) => blake2b(bytes, { dkLen: 32 }) }),
  from({ name: 'blake3', code: 0x1e, encode: (bytes) => blake3(bytes) })
]

// Wants are gathered for a millisecond and not for ten: a DAG that is a chain has one at a time.
const bitswap = { sendWantlistDebounce: 1 }

/**
 * @param {string[]} listen - multiaddrs to listen on; none for a client
 */
export async function startNode (listen = []) {
  const helia = withBitswap(withLibp2pLight(createHeliaLight({ codecs: [dagCbor], hashers }), {
    addresses: { listen },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // Each fetch of a test is a connection of its own, and they come faster than the five a second that are allowed.
    connectionManager: { inboundConnectionThreshold: Infinity },
    services: { identify: identify(), ping: ping() }
  }), bitswap)
  await helia.start()
  return helia
}
