// A Worker of the folder that `cargo xtask worker build` makes, in workerd, with bindings of this machine.
import { join } from 'node:path'
import { Log, LogLevel, Miniflare } from 'miniflare'

// The date and flags of hosts/worker/wrangler.jsonc.
const platform = { compatibilityDate: '2026-03-01', compatibilityFlags: ['nodejs_compat'] }

/** The log goes to stderr: stdout is for what a program has to say. */
class Stderr extends Log {
  log (message) {
    process.stderr.write(message + '\n')
  }
}

/** The options of a Worker: where it is built, what it may use, its variables, and where it keeps things, if it does. */
export function options ({ folder, mode = 'object', variables = {}, state, port = 0, ...more }) {
  const kept = (name) => state === undefined ? false : join(state, name)
  return {
    host: '127.0.0.1',
    port,
    // What a request says of where it comes from would be fetched from the network.
    cf: false,
    ...platform,
    modulesRoot: folder,
    modules: [
      { type: 'ESModule', path: join(folder, 'index.js') },
      { type: 'CompiledWasm', path: join(folder, 'hoverboard.wasm') }
    ],
    bindings: variables,
    r2Buckets: ['BUCKET'],
    r2Persist: kept('r2'),
    ...(mode === 'object'
      ? {
          durableObjects: {
            PEERS: { className: 'Peers', useSQLite: true },
            MEMORY: { className: 'PeerMemory', useSQLite: true }
          },
          durableObjectsPersist: kept('objects')
        }
      : { kvNamespaces: ['MEMORY'], kvPersist: kept('kv') }),
    handleRuntimeStdio (stdout, stderr) {
      stdout.pipe(process.stderr)
      stderr.pipe(process.stderr)
    },
    log: new Stderr(LogLevel.WARN),
    ...more
  }
}

/** Starts it, and waits until it answers. */
export async function start (settings) {
  const worker = new Miniflare(options(settings))
  const url = await worker.ready
  return { worker, url }
}
