// The links of a block, for the codecs of the test data.
import * as dagCbor from '@ipld/dag-cbor'
import * as dagPb from '@ipld/dag-pb'
import { createUnsafe } from 'multiformats/block'

const codecs = new Map([dagCbor, dagPb].map((codec) => [codec.code, codec]))
const RAW = 0x55

/**
 * @param {import('multiformats/cid').CID} cid
 * @param {Uint8Array} bytes
 * @returns {import('multiformats/cid').CID[]}
 */
export function links (cid, bytes) {
  if (cid.code === RAW) return []
  const codec = codecs.get(cid.code)
  if (codec == null) throw new Error(`no codec for ${cid}`)
  const block = createUnsafe({ cid, bytes, codec })
  return [...block.links()].map(([, link]) => link)
}
