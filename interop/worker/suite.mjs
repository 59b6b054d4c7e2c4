// The store's suite over R2, inside workerd.
//
//     node suite.mjs FOLDER
//
// FOLDER is a build with the feature `trials`. Each case is a line; the exit code says whether all of them passed.
import { identity } from './identity.mjs'
import { start } from './workerd.mjs'

const [folder] = process.argv.slice(2)
const variables = { HOVERBOARD_MODE: 'plain', HOVERBOARD_IDENTITY: identity }
const { worker, url } = await start({ folder, mode: 'plain', variables })
const response = await fetch(new URL('/suite', url))
const report = await response.text()
process.stderr.write(report)
await worker.dispose()
const lines = report.trimEnd().split('\n')
process.exitCode = response.ok && lines.length > 10 && lines.every((line) => line.startsWith('ok ')) ? 0 : 1
