// KV as it is between places: a write is seen after `plan.kv` milliseconds by whoever has read the key before, a miss being
// remembered like anything else.

const seen = new Map();

/** A namespace that shows what it showed before, for a while. */
export function slow(namespace, trial) {
  return new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function" || name === "constructor") return value;
      return async (...values) => {
        const { calls } = trial.seen;
        calls[`kv ${name}`] = (calls[`kv ${name}`] ?? 0) + 1;
        if (name !== "get" || !trial.plan.kv) return value.apply(target, values);
        const before = seen.get(values[0]);
        if (before && before.until > Date.now()) return before.found;
        const found = await value.apply(target, values);
        seen.set(values[0], { found, until: Date.now() + trial.plan.kv });
        return found;
      };
    },
  });
}
