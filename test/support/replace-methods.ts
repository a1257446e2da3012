// An object with some of its methods replaced, for targets that fail or wait where a test wants it.

/** The same object, except for these methods. */
export function replaceMethods<T extends object>(object: T, replaced: Partial<T>): T {
  return new Proxy(object, {
    get(from, key) {
      const value: unknown = Reflect.get(key in replaced ? replaced : from, key);
      return typeof value === "function" ? value.bind(from) : value;
    },
  });
}
