// Faults on demand, for the tests of what survives them. Two variables have to be set, and no deployment sets them:
// HOVERBOARD_DEBUG=1, and HOVERBOARD_DEBUG_FAULT=KIND@N for a fault of that kind (panic, oom) at the Nth message of an
// isolate.

let messages = 0

/** Called at each message: makes the instance panic or run out of memory, if it is to. */
export function fault (env, exports) {
  if (env.HOVERBOARD_DEBUG !== '1' || !env.HOVERBOARD_DEBUG_FAULT) return
  const [kind, at] = env.HOVERBOARD_DEBUG_FAULT.split('@')
  messages += 1
  if (messages === Number(at)) exports.strike(kind)
}
