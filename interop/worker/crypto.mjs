// What sealing and hashing cost inside workerd, by the size of the pieces: in wasm, and by node:crypto.
//
//     node crypto.mjs FOLDER
//
// FOLDER is a build with the feature `trials`. Prints a table of milliseconds a MiB.
import { identity } from './identity.mjs'
import { start } from './workerd.mjs'

const [folder] = process.argv.slice(2)
const variables = { HOVERBOARD_MODE: 'plain', HOVERBOARD_IDENTITY: identity }
const { worker, url } = await start({ folder, mode: 'plain', variables })
const response = await fetch(new URL('/crypto', url))
console.table(await response.json())
await worker.dispose()
