// A kubo with a repository of its own, cut off from the world, that keeps up a connection to one peer by itself.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { begin, run, TRIAL_IPFS } from './lab.mjs'

/** As xtask/src/interop/kubo.rs has them: what arrives came from whom we dialled. */
const settings = {
  Bootstrap: [],
  'Routing.Type': 'none',
  'AutoConf.Enabled': false,
  'AutoTLS.Enabled': false,
  'Discovery.MDNS.Enabled': false,
  'DNS.Resolvers': {},
  'HTTPRetrieval.Enabled': false,
  'Provide.Enabled': false,
  'Swarm.ConnMgr.Type': 'none',
  'Swarm.DisableNatPortMap': true,
  'Swarm.EnableHolePunching': false,
  'Swarm.RelayClient.Enabled': false,
  'Swarm.RelayService.Enabled': false,
  'Version.SwarmCheckEnabled': false,
  'Addresses.Swarm': ['/ip4/127.0.0.1/tcp/0/ws'],
  'Addresses.API': '/ip4/127.0.0.1/tcp/0',
  'Addresses.Gateway': []
}

/** Starts it; returns a function that runs one of its commands. */
export async function kubo (t, folder, peer) {
  const IPFS_PATH = join(folder, 'ipfs')
  const options = { env: { ...process.env, IPFS_PATH } }
  const ipfs = (...args) => run(TRIAL_IPFS, args, options)
  await ipfs('init', '--empty-repo', '--profile=test')
  const path = join(IPFS_PATH, 'config')
  const config = JSON.parse(await readFile(path, 'utf8'))
  const [address, id] = peer.split('/p2p/')
  for (const [name, value] of Object.entries({ ...settings, 'Peering.Peers': [{ ID: id, Addrs: [address] }] })) {
    const last = name.split('.').slice(0, -1).reduce((group, part) => (group[part] ??= {}), config)
    last[name.split('.').at(-1)] = value
  }
  await writeFile(path, JSON.stringify(config))
  const daemon = begin(TRIAL_IPFS, ['daemon', '--migrate=false'], options)
  t.after(async () => {
    daemon.child.kill()
    await daemon.ended
  })
  for await (const line of daemon.lines) {
    if (line.includes('Daemon is ready')) break
  }
  while (!(await ipfs('swarm', 'peers')).some((line) => line.endsWith(id))) await new Promise((resolve) => setTimeout(resolve, 100))
  return ipfs
}
