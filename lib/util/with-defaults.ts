// Optional options: their defaults, and some of them.

/** Options in which some optional fields are now present. */
export type Filled<T, K extends keyof T> = Omit<T, K> & { readonly [Key in K]-?: Exclude<T[Key], undefined> };

/** Options in which fields that are absent or undefined have the values of `defaults`. */
export function withDefaults<T extends object, D extends Partial<T>>(
  options: T,
  defaults: D,
): Filled<T, keyof D & keyof T> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...options, ...defaults, ...Object.fromEntries(given) } as Filled<T, keyof D & keyof T>;
}

/** These fields of an object, undefined ones included. */
export function fieldsOf<T extends object, K extends keyof T>(object: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, object[key]])) as Pick<T, K>;
}
