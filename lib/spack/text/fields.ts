// Hand-written checks of JSON fields. An install database holds millions of values, too many for a schema library.
// Messages name the document, the place, the value found and the value expected.
import type { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { invalid, isObject, type JsonSource } from "./json.ts";
import type { JsonObject, JsonValue } from "./json-value.ts";

/**
 * Where an object is in a document. Made for every object that is read, so it is turned into text only for messages.
 */
export interface Place {
  readonly source: JsonSource;
  /** The enclosing object or list and the key in it; absent at the root. */
  readonly parent?: Place;
  readonly key?: string | number;
}

/** The place of a member of the object at `parent`. */
export function inside(parent: Place, key: string | number): Place {
  return { source: parent.source, parent, key };
}

/** The keys from the root to a place, joined by dots. */
export function pathOf(place: Place): string {
  const keys: string[] = [];
  for (let at: Place | undefined = place; at !== undefined; at = at.parent)
    if (at.key !== undefined && at.key !== "") keys.push(printable(String(at.key)));
  return keys.reverse().join(".");
}

/** A value in a few words: `the string "abc"`, `an object`, `missing`. */
export function describe(value: JsonValue | undefined): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (typeof value === "string") return `the string "${printable(value.slice(0, 60))}"`;
  if (typeof value === "object") return Array.isArray(value) ? "a list" : "an object";
  return `${typeof value === "number" ? "the number " : ""}${value}`;
}

/** The error for a field with an unexpected value. */
export function wrong(place: Place, key: string | number, value: JsonValue | undefined, expected: string): StaveError {
  return invalid(
    place.source,
    `is not valid: ${pathOf(inside(place, key)) || "the document"} is ${describe(value)}, expected ${expected}`,
  );
}

/** The member `key`; throws unless it is an object. */
export function objectAt(object: JsonObject, key: string, place: Place): JsonObject {
  const value = own(object, key);
  if (!isObject(value)) throw wrong(place, key, value, "an object");
  return value;
}

/** The member `key`; throws unless it is a list. */
export function listAt(object: JsonObject, key: string, place: Place): JsonValue[] {
  const value = own(object, key);
  if (!Array.isArray(value)) throw wrong(place, key, value, "a list");
  return value;
}

/** The member `key`; throws unless it is a string. */
export function stringAt(object: JsonObject, key: string, place: Place): string {
  const value = own(object, key);
  if (typeof value !== "string") throw wrong(place, key, value, "a string");
  return value;
}

/** The member `key`, a string or absent (null counts as absent, as in Python's None). */
export function optionalStringAt(object: JsonObject, key: string, place: Place): string | undefined {
  const value = own(object, key) ?? undefined;
  if (value !== undefined && typeof value !== "string") throw wrong(place, key, value, "a string or null");
  return value;
}

/** The member `key`, a boolean; `absent` if it is missing. */
export function booleanAt(object: JsonObject, key: string, place: Place, absent: boolean): boolean {
  const value = own(object, key) ?? absent;
  if (typeof value !== "boolean") throw wrong(place, key, value, "true or false");
  return value;
}

/** Checks that every item of a list is a string. */
export function asStrings(list: readonly JsonValue[], place: Place): string[] {
  return list.map((item, at) => {
    if (typeof item !== "string") throw wrong(place, at, item, "a string");
    return item;
  });
}

/** The object's own member `key`, so that a file cannot reach `constructor` and other inherited members. */
export function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
