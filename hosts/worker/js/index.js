// The Worker's entry: hands the platform's events to the wasm instance, and survives its loss. It decides nothing else.

import { DurableObject } from 'cloudflare:workers'
import { fault } from './fault.js'
import { InstanceLost, abandon, instance, log } from './instance.js'
import { limited } from './limits.js'
import { consume } from './queue.js'

/** The longest pause before an alarm that failed is tried again, in milliseconds. */
const LONGEST_PAUSE = 60_000

export default {
  async fetch (request, env, context) {
    try {
      return await instance().enter((exports) => exports.fetch(request, limited(env, false), context))
    } catch (error) {
      return failed('fetch', error)
    }
  },

  queue (batch, env) {
    return consume(batch, env)
  }
}

/** A Durable Object whose other half lives in the instance, and is made anew in the next one when that is lost. */
class Halved extends DurableObject {
  #instance
  #half
  #failures = 0

  /** Runs one event of the object in its other half, on behalf of a socket if there is one. */
  enter (work, socket) {
    const present = instance()
    return present.enter((exports) => {
      if (this.#instance !== present) {
        if (this.#instance !== undefined) abandon(this.#instance)
        this.#half = new exports[this.constructor.half](this.ctx, limited(this.env, true))
        this.#instance = present
      }
      return work(this.#half, exports)
    }, socket)
  }

  /** Runs an alarm; one that fails comes again, after longer each time. */
  async ring (event) {
    try {
      await this.enter((half) => half.alarm())
      this.#failures = 0
    } catch (error) {
      this.#failures += 1
      await this.lookAfter(event, error, Math.min(500 * 2 ** this.#failures, LONGEST_PAUSE))
    }
  }

  /** After an event that failed, an alarm looks after what it left at work, such as the sessions of sockets. */
  async lookAfter (event, error, pause = 0) {
    report(event, error)
    await this.ctx.storage.setAlarm(Date.now() + pause)
  }
}

export class Peers extends Halved {
  static half = 'Peers'

  async fetch (request) {
    try {
      return await this.enter((half) => half.fetch(request))
    } catch (error) {
      await this.lookAfter('fetch', error)
      return new Response('internal error\n', { status: 500 })
    }
  }

  async webSocketMessage (socket, message) {
    try {
      await this.enter((half, exports) => {
        fault(this.env, exports, message)
        return Promise.all(pieces(message).map((piece) => half.webSocketMessage(socket, piece)))
      }, socket)
    } catch (error) {
      await this.lookAfter('message', error)
    }
  }

  async webSocketClose (socket, code, reason, wasClean) {
    try {
      await this.enter((half) => half.webSocketClose(socket, code, reason, wasClean), socket)
    } catch (error) {
      await this.lookAfter('close', error)
    }
  }

  async webSocketError (socket, reason) {
    try {
      await this.enter((half) => half.webSocketError(socket, reason), socket)
    } catch (error) {
      await this.lookAfter('error', error)
    }
  }

  alarm () {
    return this.ring('alarm')
  }
}

export class PeerMemory extends Halved {
  static half = 'PeerMemory'

  async fetch (request) {
    try {
      return await this.enter((half) => half.fetch(request))
    } catch (error) {
      return failed('memory', error)
    }
  }

  // One that fails is tried again by the platform.
  alarm () {
    return this.enter((half) => half.alarm())
  }
}

export class Committer extends Halved {
  static half = 'Committer'

  async fetch (request) {
    try {
      return await this.enter((half) => half.fetch(request))
    } catch (error) {
      return failed('committer', error)
    }
  }

  alarm () {
    return this.ring('commit')
  }
}

function failed (event, error) {
  report(event, error)
  return new Response('internal error\n', { status: 500 })
}

/** The loss of the instance is in the log already. */
function report (event, error) {
  if (!(error instanceof InstanceLost)) log('event failed', { of: event, error: String(error) })
}

/** Bytes of a message that the instance gets at a time: what its memory once grew to it keeps. */
const PIECE = 1024 * 1024

/** A message in pieces, to be handed on in order; what is in them is one stream of bytes. */
function pieces (message) {
  if (typeof message === 'string' || message.byteLength <= PIECE) return [message]
  const count = Math.ceil(message.byteLength / PIECE)
  return Array.from({ length: count }, (_, n) => message.slice(n * PIECE, (n + 1) * PIECE))
}
