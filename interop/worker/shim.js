// The Worker under a shim, inside workerd: the entry of tests, beside the script that is deployed. It counts what the Worker
// asks of its bucket, and does to it what R2, KV and the platform may do on a bad day. It is told what by a POST of JSON to
// /trial, and says at /trial what it saw. All objects of a local workerd live in one isolate, so one place knows of all.
import { faulty } from "./shim-r2.js";
import { slow } from "./shim-kv.js";
import { watch } from "./shim-sends.js";
import worker, * as deployed from "./index.js";

/** What was seen, and what is to be done. */
const trial = { seen: { calls: {}, faults: 0, made: 0, sends: 0 }, plan: {} };

watch(trial);

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/trial") return worker.fetch(request, under(env), context);
    if (request.method === "POST") Object.assign(trial.plan, await request.json());
    return Response.json(trial.seen);
  },
};

export class Peers extends deployed.Peers {
  constructor(context, env) {
    super(context, under(env));
    trial.seen.made += 1;
    trial.abort = () => context.abort("a trial");
  }
}

export class PeerMemory extends deployed.PeerMemory {
  fetch(request) {
    const { calls } = trial.seen;
    const call = `memory ${request.method}`;
    calls[call] = (calls[call] ?? 0) + 1;
    const { memory } = trial.plan;
    if (memory === "hangs") return new Promise((resolve) => setTimeout(resolve, 60_000, new Response()));
    if (memory === "fails") throw new Error("a trial");
    return super.fetch(request);
  }
}

function under(env) {
  const bindings = { ...env };
  if (env.BUCKET) bindings.BUCKET = faulty(env.BUCKET, trial);
  if (env.MEMORY?.constructor.name === "KvNamespace") bindings.MEMORY = slow(env.MEMORY, trial);
  return bindings;
}
