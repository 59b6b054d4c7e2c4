// The wasm instance, and what happens when it traps. A trap (a panic, memory that ran out) leaves an instance in a
// state that nobody can vouch for: it is not entered again, whoever was waiting for it is told, and the next
// event gets a fresh one. What the old one had promised or asked for still comes back to it, and finds nobody.

import instantiate from './hoverboard.js'
import module from './hoverboard.wasm'

// Asked for at run time: an import would keep a Worker without nodejs_compat from starting at all.
const { AsyncLocalStorage } = globalThis.process?.getBuiltinModule?.('node:async_hooks') ?? {}

/** Which event is at work, also behind its promises, where the platform can tell. */
export const atWork = AsyncLocalStorage ? new AsyncLocalStorage() : { run: (_event, work) => work(), getStore: () => undefined }

/** How many instances were lost since the isolate began. */
let losses = 0

/** The instance that events enter. */
let current

/** What an event is told whose instance is gone. */
export class InstanceLost extends Error {
  name = 'InstanceLost'
}

/** One instance, and the events that are under way in it. */
class Instance {
  #underWay = new Set()
  /** Bodies that are being read. */
  readers = new Set()
  /** Calls into it that have not come back. */
  calls = 0
  #lost = false

  constructor () {
    const between = { Module: WebAssembly.Module, Instance: guardedBy(this), RuntimeError: WebAssembly.RuntimeError }
    this.exports = instantiate(between, module)
  }

  get isLost () {
    return this.#lost
  }

  /** Runs one event, on behalf of a socket if there is one. Fails with InstanceLost when the instance is lost meanwhile. */
  enter (work, socket) {
    return new Promise((resolve, reject) => {
      const event = { reject, socket }
      this.#underWay.add(event)
      const result = atWork.run(event, async () => work(this.exports))
      result.then(resolve, reject).finally(() => this.#underWay.delete(event))
    })
  }

  /** Called where an exception came out of the instance: nothing of it was unwound in there. */
  lose (error) {
    if (this.#lost) return
    this.#lost = true
    if (current === this) current = undefined
    losses += 1
    log('instance lost', { losses, events: this.#underWay.size, error: String(error), stack: error?.stack })
    close(atWork.getStore()?.socket)
    for (const event of this.#underWay) event.reject(new InstanceLost('the instance was lost'))
    this.#underWay.clear()
  }
}

/** A WebAssembly.Instance whose functions end with the instance that they belong to. */
function guardedBy (owner) {
  return class extends WebAssembly.Instance {
    #exports = Object.create(null)

    constructor (module, imports) {
      super(module, imports)
      for (const [name, value] of Object.entries(super.exports)) {
        this.#exports[name] = typeof value === 'function' ? guarded(owner, value) : value
      }
    }

    get exports () {
      return this.#exports
    }
  }
}

function guarded (owner, entry) {
  return (...values) => {
    // A promise, timer or finaliser of a lost instance.
    if (owner.isLost) return 0
    owner.calls += 1
    try {
      const value = entry(...values)
      owner.calls -= 1
      return value
    } catch (error) {
      owner.lose(error)
      throw error
    }
  }
}

/** The guilty socket goes: its peer would do the same again. */
function close (socket) {
  try {
    socket?.close(1011, 'internal error')
  } catch {
    // It was closed already.
  }
}

/** Called by the instance for a body that it begins to read, and when it is done with it. */
export function hold (reader) {
  current?.readers.add(reader)
}

export function release (reader) {
  current?.readers.delete(reader)
}

/** Closes what a lost instance was reading for the object whose event this is; what belongs to others cannot be closed here. */
export function abandon (lost) {
  for (const reader of lost.readers) {
    try {
      reader.cancel().then(() => lost.readers.delete(reader), () => {})
    } catch {
      // Another object's.
    }
  }
}

/** Called by the instance for a socket that lives in no object: when the instance is lost, nobody else will close it. */
export function adopt (socket) {
  const owner = current
  socket.addEventListener('message', () => {
    if (owner.isLost) socket.close(1012, 'the Worker was restarted')
  })
}

/**
 * The instance for an event to enter, made if there is none. To be called by nobody else: nothing of the instance is on the
 * stack when an event begins, so that a call which has not come back by then never will. The platform ended it from
 * outside, as it does where an object is aborted or its CPU time is over; no `catch` and no `finally` runs then, and the
 * microtasks that were waiting are gone, the instance's own among them. What it had borrowed stays borrowed, and what it
 * had scheduled never runs.
 */
export function instance () {
  if (current?.calls > 0) current.lose(new Error('a call into it was ended from outside'))
  current ??= new Instance()
  return current
}

/** One line of the log, as JSON. */
export function log (event, fields) {
  console.error(JSON.stringify({ level: 'error', event, ...fields }))
}
