// DAGs for tests, made without any IPFS library: a dag-cbor list of raw blocks of bytes that repeat nowhere, and CARv1 files
// that hold them. The same arguments make the same DAG.
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'

const RAW = 0x55
const DAG_CBOR = 0x71

/** A source of numbers from 0 to 1 that is the same for the same seed (mulberry32). */
export function random (seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A DAG: a root, and so many leaves of so many bytes. */
export function dag ({ leaves, size, seed = 1 }) {
  const blocks = Array.from({ length: leaves }, (_, n) => block(RAW, bytes(`${seed}/${n}`, size)))
  return { root: block(DAG_CBOR, cbor(blocks.map(({ cid }) => link(cid)))), leaves: blocks }
}

/** Writes blocks into a CAR. */
export async function car (path, root, blocks) {
  const header = cbor({ roots: [link(root.cid)], version: 1 })
  const sections = blocks.flatMap(({ cid, data }) => [varint(cid.length + data.length), cid, data])
  await writeFile(path, Buffer.concat([varint(header.length), header, ...sections]))
}

/** A CID as text: base32 with its `b`. */
export function text (cid) {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  let out = 'b'
  let [held, bits] = [0, 0]
  for (const byte of cid) {
    held = ((held << 8) | byte) & 0xffff
    for (bits += 8; bits >= 5; bits -= 5) out += alphabet[(held >> (bits - 5)) & 31]
  }
  return bits > 0 ? out + alphabet[(held << (5 - bits)) & 31] : out
}

function block (codec, data) {
  const digest = createHash('sha256').update(data).digest()
  return { cid: Buffer.concat([Buffer.from([1, codec, 0x12, 32]), digest]), data }
}

/** Bytes that follow from a name. */
function bytes (name, size) {
  return createHash('shake256', { outputLength: size }).update(name).digest()
}

const link = (cid) => ({ cid })

/** What of DAG-CBOR is needed here: short text, small numbers, lists, maps with sorted keys, links. */
function cbor (value) {
  if (typeof value === 'number') return head(0, value)
  if (typeof value === 'string') return Buffer.concat([head(3, value.length), Buffer.from(value)])
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)])
  if (value.cid !== undefined) {
    return Buffer.concat([Buffer.from([0xd8, 42]), head(2, value.cid.length + 1), Buffer.from([0]), value.cid])
  }
  const entries = Object.entries(value)
  return Buffer.concat([head(5, entries.length), ...entries.flat().map(cbor)])
}

function head (major, length) {
  if (length < 24) return Buffer.from([major << 5 | length])
  if (length < 256) return Buffer.from([major << 5 | 24, length])
  return Buffer.from([major << 5 | 25, length >> 8, length & 255])
}

function varint (number) {
  const out = []
  for (; number > 127; number >>>= 7) out.push(number & 127 | 128)
  return Buffer.from([...out, number])
}
