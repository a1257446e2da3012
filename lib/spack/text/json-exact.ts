// What a plain object cannot keep of a JSON text: the order of keys that look like array indexes, the spelling of numbers
// such as 1.0 or 10000000000000000000000. Kept aside by container, so that values stay plain; a container that is changed
// afterwards keeps its changes, because the writer compares.
import type { JsonObject } from "./json-value.ts";

/** What is kept of one container. */
export interface Exact {
  order?: string[];
  numbers?: Map<string, string>;
}
const exact = new WeakMap<object, Exact>();

/** What is kept of a container, made when there is nothing yet. */
export function exactOf(container: object): Exact {
  const known = exact.get(container);
  if (known) return known;
  const fresh: Exact = {};
  exact.set(container, fresh);
  return fresh;
}

/** What is kept of a container, if anything is. */
export function keptOf(container: object): Exact | undefined {
  return exact.get(container);
}

/** A copy of an object that may be changed, with all that is kept of it; its members are the same. */
export function copyObject(object: JsonObject): JsonObject {
  const copy = { ...object };
  const kept = exact.get(object);
  if (kept) exact.set(copy, kept);
  return copy;
}

/** The keys of an object in the order of the file. */
export function keysOf(object: JsonObject): string[] {
  return orderedKeys(object, keptOf(object));
}

/** The keys of an object whose kept part is at hand. */
export function orderedKeys(object: JsonObject, kept: Exact | undefined): string[] {
  if (kept?.order === undefined) return Object.keys(object);
  const order = kept.order.filter((key) => Object.hasOwn(object, key));
  const known = new Set(order);
  return [...order, ...Object.keys(object).filter((key) => !known.has(key))];
}
