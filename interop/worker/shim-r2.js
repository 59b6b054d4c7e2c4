// R2 on a bad day. Of every call it keeps count; `plan.r2 = { rate, seed, faults }` makes so many of the reads fail, each in one
// of the ways named: an error, a body that stalls, is cut short, or breaks off, or a wrong byte in it.

const FAULTS = {
  error: () => {
    throw new Error("get: We encountered an internal error. Please try again. (10001)");
  },
  stall: (object) => instead(object, async (bytes, writer) => {
    await writer.write(bytes.subarray(0, bytes.length >> 1));
    // Until whoever reads it closes it.
    await writer.closed;
  }),
  cut: (object) => instead(object, async (bytes, writer) => {
    await writer.write(bytes.subarray(0, bytes.length >> 1));
    await writer.close();
  }),
  break: (object) => instead(object, async (bytes, writer) => {
    await writer.write(bytes.subarray(0, bytes.length >> 1));
    await writer.abort(new Error("Network connection lost."));
  }),
  wrong: (object) => instead(object, async (bytes, writer) => {
    bytes[bytes.length >> 1] ^= 1;
    await writer.write(bytes);
    await writer.close();
  }),
};

/** A bucket that counts its calls, and whose reads fail as planned. */
export function faulty(bucket, trial) {
  return new Proxy(bucket, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function" || name === "constructor") return value;
      return async (...values) => {
        const { calls } = trial.seen;
        // A root is listed, and so is the index of all blocks, by another prefix.
        const call = name === "list" && !values[0]?.prefix?.startsWith("dudewhere/") ? `list ${values[0]?.prefix}` : name;
        calls[call] = (calls[call] ?? 0) + 1;
        const fault = name === "get" ? drawn(trial) : undefined;
        if (fault === undefined) return value.apply(target, values);
        trial.seen.faults += 1;
        if (fault === "error") return FAULTS.error();
        const object = await value.apply(target, values);
        // Nothing says what an index should be: a wrong byte in one hides a block.
        if (fault === "wrong" && values[0].endsWith(".idx")) return object;
        return object?.body ? FAULTS[fault](object) : object;
      };
    },
  });
}

/** Which fault the next read has, if any: the same in every run with the same seed. */
function drawn(trial) {
  const { r2 } = trial.plan;
  if (!r2) return undefined;
  r2.state = (Math.imul(r2.state ?? r2.seed, 1664525) + 1013904223) >>> 0;
  if (r2.state / 2 ** 32 >= r2.rate) return undefined;
  r2.turn = (r2.turn ?? 0) + 1;
  return r2.faults[r2.turn % r2.faults.length];
}

/** The object with another body, that `write` makes out of its bytes. */
async function instead(object, write) {
  const bytes = new Uint8Array(await object.arrayBuffer());
  const { readable, writable } = new IdentityTransformStream();
  // What is cancelled from the other side need not be written.
  write(bytes, writable.getWriter()).catch(() => {});
  return new Proxy(object, {
    get(target, name) {
      if (name === "body") return readable;
      if (name === "bodyUsed") return false;
      const value = Reflect.get(target, name);
      return typeof value === "function" && name !== "constructor" ? value.bind(target) : value;
    },
  });
}
