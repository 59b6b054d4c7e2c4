// The platform's limits on a machine that has none: how many requests an event may make, and how many may wait for the head
// of their answer. For tests. Two variables have to be set, and no deployment sets them: HOVERBOARD_DEBUG=1, and
// HOVERBOARD_DEBUG_REQUESTS=N. An event's N+1st request fails in the platform's words. More than six that wait are
// not failed but logged: the platform makes them wait longer.

import { atWork, log } from './instance.js'

const WAITING = 6

/** The calls of each binding that the platform counts. */
const COUNTED = {
  R2Bucket: ['get', 'head', 'list', 'put', 'delete', 'createMultipartUpload'],
  KvNamespace: ['get', 'getWithMetadata', 'list', 'put', 'delete'],
  Fetcher: ['fetch'],
  DurableObject: ['fetch']
}

/**
 * The environment, with the limits under its bindings if there are to be any. An object's environment serves one event
 * after the other, which are told apart by what is at work; another one is its event's alone.
 */
export function limited (env, ofObject) {
  const most = env.HOVERBOARD_DEBUG === '1' ? Number(env.HOVERBOARD_DEBUG_REQUESTS ?? Number.NaN) : Number.NaN
  if (Number.isNaN(most)) return env
  const own = {}
  const limit = { most, event: () => (ofObject ? (atWork.getStore() ?? own) : own) }
  const bindings = {}
  for (const [name, value] of Object.entries(env)) bindings[name] = typeof value === 'object' ? under(limit, value) : value
  return bindings
}

let waiting = 0

function under (limit, binding) {
  const counted = COUNTED[binding.constructor.name] ?? []
  return new Proxy(binding, {
    get (target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function' || name === 'constructor') return value
      if (counted.includes(name)) return (...values) => request(limit, () => value.apply(target, values))
      // A namespace gives out objects, whose calls count.
      return (...values) => {
        const given = value.apply(target, values)
        return given?.constructor?.name in COUNTED ? under(limit, given) : given
      }
    }
  })
}

async function request (limit, call) {
  const event = limit.event()
  event.requests = (event.requests ?? 0) + 1
  if (event.requests > limit.most) throw new Error('Too many subrequests.')
  waiting += 1
  if (waiting > WAITING) log('limit', { waiting })
  try {
    return await call()
  } finally {
    waiting -= 1
  }
}
