// Finds out which variables of an environment an answer depends on: those that were asked for while it was found.

type Variables = Readonly<Record<string, string | undefined>>;

/** An environment that notes what it is asked for. */
export interface WatchedVariables {
  readonly env: Variables;
  /** The variables that were asked for so far, null for absent ones; undefined if someone listed all of them. */
  seen(): Record<string, string | null> | undefined;
}

/** Watches an environment. */
export function watchVariables(env: Variables): WatchedVariables {
  const names = new Set<string>();
  let isListed = false;
  const note = (name: string | symbol): void => {
    if (typeof name === "string") names.add(name);
  };
  const watched = new Proxy(env, {
    get: (target, name) => {
      note(name);
      return Reflect.get(target, name);
    },
    has: (target, name) => {
      note(name);
      return Reflect.has(target, name);
    },
    getOwnPropertyDescriptor: (target, name) => {
      note(name);
      return Reflect.getOwnPropertyDescriptor(target, name);
    },
    ownKeys: (target) => {
      isListed = true;
      return Reflect.ownKeys(target);
    },
  });
  return {
    env: watched,
    seen: () => (isListed ? undefined : Object.fromEntries([...names].map((name) => [name, env[name] ?? null]))),
  };
}
