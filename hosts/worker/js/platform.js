// What the wasm module imports from the platform beside its own bindings. It keeps no state of an instance.

// Asked for at run time: an import would keep a Worker without nodejs_compat from starting at all.
const crypto = globalThis.process?.getBuiltinModule?.('node:crypto')

const CIPHER = 'chacha20-poly1305'
const OPTIONS = { authTagLength: 16 }

/** Smaller buffers may be parts of one that others use too, and are not worth it. */
const LARGE = 4096

/** Whether `seal`, `open` and `sha256` work here: a runtime may have the module and not the cipher. */
export function hasCrypto () {
  try {
    const tag = new Uint8Array(16)
    const key = new Uint8Array(32)
    const nonce = new Uint8Array(12)
    const text = new Uint8Array(64)
    seal(key, nonce, text, tag)
    const opened = open(key, nonce, text, tag) && text.every((byte) => byte === 0)
    const digest = new Uint8Array(32)
    sha256(new Uint8Array(0), digest)
    return opened && digest[0] === 0xe3 && digest[31] === 0x55
  } catch {
    return false
  }
}

/**
 * Gives the memory of a view back at once that nobody will look at again. The collector knows nothing of how large it is,
 * and would leave some hundred megabytes of them lying about.
 */
export function spent (view) {
  const { buffer } = view
  if (buffer.byteLength >= LARGE && buffer.byteLength === view.byteLength) buffer.transfer(0)
}

/** Sends bytes of the caller's memory, in a message of their own. */
export function send (socket, bytes) {
  // The platform sends later, from memory that it holds by itself.
  const message = bytes.slice()
  socket.send(message)
  spent(message)
}

/** Where a cipher has the object that does the work; `null` if it cannot be told. */
let native

/**
 * What a cipher makes of `text`. Its own `update` copies what that object gives, and leaves the original to the collector,
 * which costs as much as the cipher.
 */
function updated (cipher, text) {
  native ??= Object.getOwnPropertySymbols(cipher).find((symbol) => typeof cipher[symbol]?.update === 'function') ?? null
  const output = native === null ? undefined : cipher[native].update(text)
  return output instanceof Uint8Array && output.byteLength === text.byteLength ? output : cipher.update(text)
}

/** ChaCha20-Poly1305 in place. All arguments are views of the caller's memory. */
export function seal (key, nonce, text, tag) {
  const cipher = crypto.createCipheriv(CIPHER, key, nonce, OPTIONS)
  const sealed = updated(cipher, text)
  text.set(sealed)
  spent(sealed)
  cipher.final()
  tag.set(cipher.getAuthTag())
}

/** The reverse; `false` if the tag does not match, and the text is worth nothing then. */
export function open (key, nonce, text, tag) {
  const decipher = crypto.createDecipheriv(CIPHER, key, nonce, OPTIONS)
  decipher.setAuthTag(tag)
  const opened = updated(decipher, text)
  text.set(opened)
  spent(opened)
  try {
    decipher.final()
    return true
  } catch {
    return false
  }
}

/** SHA2-256 into `digest`. */
export function sha256 (data, digest) {
  digest.set(crypto.createHash('sha256').update(data).digest())
}
