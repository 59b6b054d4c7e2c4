// KV as it is between places: what was written less than `plan.kv` milliseconds ago is not seen, because the place where it is
// read remembers that there was nothing.

/** When each key was written. */
const written = new Map();

/** A namespace that shows what is written only after a while. */
export function slow(namespace, trial) {
  return new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function" || name === "constructor") return value;
      return async (...values) => {
        const { calls } = trial.seen;
        calls[`kv ${name}`] = (calls[`kv ${name}`] ?? 0) + 1;
        const [key] = values;
        if (name === "put") written.set(key, Date.now());
        if (name === "get" && Date.now() - written.get(key) < (trial.plan.kv ?? 0)) return null;
        return value.apply(target, values);
      };
    },
  });
}
