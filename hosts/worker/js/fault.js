// Faults on demand, for the tests of what survives them. Two variables have to be set, and no deployment sets them:
// HOVERBOARD_DEBUG=1, and HOVERBOARD_DEBUG_FAULT=KIND@N for a fault of that kind (panic, oom) at the Nth message of an
// isolate, or KIND@text for one at every message of text.

let messages = 0

/** Called at each message: makes the instance panic or run out of memory, if it is to. */
export function fault (env, exports, message) {
  if (env.HOVERBOARD_DEBUG !== '1' || !env.HOVERBOARD_DEBUG_FAULT) return
  const [kind, at] = env.HOVERBOARD_DEBUG_FAULT.split('@')
  messages += 1
  if (at === 'text' ? typeof message === 'string' : messages === Number(at)) exports.strike(kind)
}
