// What the wasm module imports from the platform beside its own bindings. It keeps no state of an instance.

// Asked for at run time: an import would keep a Worker without nodejs_compat from starting at all.
const crypto = globalThis.process?.getBuiltinModule?.('node:crypto')

const CIPHER = 'chacha20-poly1305'
const OPTIONS = { authTagLength: 16 }

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

/** ChaCha20-Poly1305 in place. All arguments are views of the caller's memory. */
export function seal (key, nonce, text, tag) {
  const cipher = crypto.createCipheriv(CIPHER, key, nonce, OPTIONS)
  text.set(cipher.update(text))
  cipher.final()
  tag.set(cipher.getAuthTag())
}

/** The reverse; `false` if the tag does not match, and the text is worth nothing then. */
export function open (key, nonce, text, tag) {
  const decipher = crypto.createDecipheriv(CIPHER, key, nonce, OPTIONS)
  decipher.setAuthTag(tag)
  text.set(decipher.update(text))
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
