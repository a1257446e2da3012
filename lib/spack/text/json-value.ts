// The types of JSON values in memory. Reading and writing are in json.ts and json-writer.ts.

/** A JSON value whose objects keep the key order of the file. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

/** A JSON object that keeps the key order of the file. */
export interface JsonObject {
  [key: string]: JsonValue;
}
