// Details of a JSON text that a plain object loses: the order of keys that look like array indexes, and the spelling of
// numbers such as 1.0 or 10000000000000000000000. They are kept beside the containers, so that values stay plain. The
// writer compares, so later changes to a container win.
import type { JsonObject, JsonValue } from "./json-value.ts";

/** The extra details of one container. */
export interface Exact {
  order?: string[];
  numbers?: Map<string, string>;
  /** The text of a frozen object that recurs: as it was read, and once it was written, as it is written. */
  text?: { readonly read: string; written?: string };
}
const exact = new WeakMap<object, Exact>();

/** The details of a container, created on first use. */
export function exactOf(container: object): Exact {
  const known = exact.get(container);
  if (known) return known;
  const fresh: Exact = {};
  exact.set(container, fresh);
  return fresh;
}

/** The details of a container, if it has any. */
export function keptOf(container: object): Exact | undefined {
  return exact.get(container);
}

/** A mutable shallow copy of an object, including its extra details. */
export function copyObject(object: JsonObject): JsonObject {
  const copy = { ...object };
  const { order, numbers } = exact.get(object) ?? {};
  if (order || numbers) exact.set(copy, { ...(order && { order }), ...(numbers && { numbers }) });
  return copy;
}

/** Freezes a value with all its members, so that it can be shared. */
export function freeze(value: JsonValue): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  for (const member of Object.values(value)) freeze(member);
  Object.freeze(value);
}

/** The keys of an object in the order of the file. */
export function keysOf(object: JsonObject): string[] {
  return orderedKeys(object, keptOf(object));
}

/** The keys of an object in the order of the file, given its details. */
export function orderedKeys(object: JsonObject, kept: Exact | undefined): string[] {
  if (kept?.order === undefined) return Object.keys(object);
  const order = kept.order.filter((key) => Object.hasOwn(object, key));
  const known = new Set(order);
  return [...order, ...Object.keys(object).filter((key) => !known.has(key))];
}
