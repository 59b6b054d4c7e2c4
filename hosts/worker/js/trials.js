// The entry of a build with the feature `trials`: runs what tests and measurements ask for. It is in no deployment.

import { instance } from './instance.js'

/** Bytes of one measurement. */
const BYTES = 8 << 20
const ROUNDS = 8

export default {
  async fetch (request, env) {
    const { pathname } = new URL(request.url)
    const enter = (work) => instance().enter(work)
    if (pathname === '/suite') return new Response(await enter((exports) => exports.suite(env)))
    if (pathname === '/crypto') return Response.json(await enter(crypto))
    return new Response('not found\n', { status: 404 })
  }
}

/**
 * Milliseconds a MiB, by what is done and the size of the pieces: the best of some rounds, in turns, because the machine has
 * other work too. Local workerd's clock runs while code does.
 */
function crypto (exports) {
  const table = {}
  for (let bytes = 256; bytes <= 262144; bytes *= 2) {
    const row = {}
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const what of ['seal in wasm', 'seal by node', 'hash in wasm', 'hash by node']) {
        const begun = performance.now()
        exports.work(what, bytes, BYTES / bytes)
        const cost = (performance.now() - begun) / (BYTES >> 20)
        row[what] = Math.min(row[what] ?? cost, Number(cost.toFixed(3)))
      }
    }
    table[bytes] = row
  }
  return table
}
