// Options that may be left out, and a table of what they are then.

/** Options of which some were optional and now are there. */
export type Filled<T, K extends keyof T> = Omit<T, K> & { readonly [Key in K]-?: Exclude<T[Key], undefined> };

/** Options with those that are left out, or undefined, taken from a table. */
export function withDefaults<T extends object, D extends Partial<T>>(
  options: T,
  defaults: D,
): Filled<T, keyof D & keyof T> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...options, ...defaults, ...Object.fromEntries(given) } as Filled<T, keyof D & keyof T>;
}
