// Sessions that are too large for an attachment, between two turns of an event. They lie beside the wasm instances and not in
// one, so that they are there when an instance is lost: a trap under one peer does not cost its neighbours their connections.
// They are lost with the isolate, and no truth is lost with them: the attachment of such a session says that it is at work.

import { spent } from './platform.js'

/** Bytes of all of them; the oldest goes first. */
const MOST = 8 * 1024 * 1024

/** The forms by the names of their sockets, the one that was kept last at the end. */
const forms = new Map()
let bytes = 0

/** Keeps a copy of a form in place of the one before. */
export function keep (id, form) {
  forget(id)
  if (form.byteLength > MOST) return
  forms.set(id, form.slice())
  bytes += form.byteLength
  for (const oldest of forms.keys()) {
    if (bytes <= MOST) break
    forget(oldest)
  }
}

/** The form that was kept last, unless it was forgotten since. */
export function kept (id) {
  return forms.get(id)
}

/** What a session leaves behind, or is no longer true of it. */
export function forget (id) {
  const form = forms.get(id)
  if (form === undefined) return
  forms.delete(id)
  bytes -= form.byteLength
  spent(form)
}
