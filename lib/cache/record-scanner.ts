// Reads the records of an index in Spack's format without fully parsing them, several times faster: if a node's text
// matches its hash, it is complete. Anything else is left to the full parser.
import { hash as hashOnce } from "node:crypto";
import { isStaveError } from "../errors.ts";
import { base32 } from "../spack/spec/dag-hash.ts";
import { isDagHash } from "../spack/spec/node-reader.ts";
import { type JsonSource, parseJsonBytes } from "../spack/text/json.ts";
import type { JsonValue } from "../spack/text/json-value.ts";
import type { JsonScanner } from "./json-scanner.ts";
import type { IndexRecord } from "./record.ts";

const CLOSE_OBJECT = 0x7d;

/** Reads consecutive records at a scanner. */
export class RecordScanner {
  readonly #scanner: JsonScanner;
  readonly #source: JsonSource;
  readonly #format: number;
  // The fields of the current record.
  #name: string | undefined;
  #version: string | undefined;
  #dependencies: string[] = [];
  #isSpliced = false;
  #text: Uint8Array | undefined;
  /** Where the text of the last record that was read is in the scanner's window. */
  textFrom = 0;
  #inBuildcache = false;
  #refCount: number | undefined;

  constructor(scanner: JsonScanner, source: JsonSource, format: number) {
    this.#scanner = scanner;
    this.#source = source;
    this.#format = format;
  }

  /**
   * Reads the record of a hash, if the text of its node ends with the hash it produces; otherwise undefined, and the
   * scanner's position has no meaning.
   */
  read(hash: string): IndexRecord | undefined {
    this.#name = this.#version = this.#text = this.#refCount = undefined;
    this.#isSpliced = this.#inBuildcache = false;
    this.#dependencies = [];
    try {
      this.#scanner.object(this.#ofRecord);
    } catch (error) {
      if (isStaveError(error)) return undefined;
      throw error;
    }
    const [name, version, text, dependencies] = [this.#name, this.#version, this.#text, this.#dependencies];
    if (name === undefined || version === undefined || text === undefined || this.#isSpliced) return undefined;
    if (this.#format < 4 || !endsWithTrueHash(text, hash)) return undefined;
    const [inBuildcache, refCount, format] = [this.#inBuildcache, this.#refCount, this.#format];
    return {
      hash,
      name,
      version,
      dependencies,
      builtAs: undefined,
      format,
      isVerified: true,
      text,
      inBuildcache,
      refCount,
    };
  }

  // Created once, not for each of a million edges.
  readonly #ofRecord = (key: string): void => {
    const scanner = this.#scanner;
    if (key === "spec") {
      const from = scanner.at;
      scanner.object(this.#ofNode);
      this.textFrom = from;
      this.#text = scanner.since(from);
      return;
    }
    const simple = scanner.literalOrInteger();
    const value = simple === undefined ? this.#parse() : simple;
    if (key === "in_buildcache") this.#inBuildcache = value === true;
    else if (key === "ref_count" && typeof value === "number") this.#refCount = value;
  };

  #parse(): JsonValue {
    const from = this.#scanner.skip();
    return parseJsonBytes(this.#scanner.since(from), this.#source);
  }

  readonly #ofNode = (key: string): void => {
    const scanner = this.#scanner;
    if (key === "name") this.#name = scanner.string();
    else if (key === "version") this.#version = scanner.string();
    else if (key === "dependencies") scanner.list(this.#dependency);
    else {
      if (key === "build_spec") this.#isSpliced = true;
      scanner.skip();
    }
  };

  readonly #dependency = (): void => this.#scanner.object(this.#ofDependency);

  readonly #ofDependency = (key: string): void => {
    if (key === "hash") this.#dependencies.push(this.#scanner.string());
    else this.#scanner.skip();
  };
}

// The text to hash: memory of the longest so far.
let hashed = Buffer.alloc(0);

/**
 * True if the text of a node of format 4 or newer ends with a hash and produces it. If the hash is the last key, the
 * text before it is what the hash covers, so it need not be serialised again.
 */
export function endsWithTrueHash(text: Uint8Array, hash: string): boolean {
  if (!isDagHash(hash)) return false;
  const tail = `,"hash":"${hash}"}`;
  const length = text.byteLength - tail.length;
  if (length < 0) return false;
  for (let at = 0; at < tail.length; at++) if (text[length + at] !== tail.charCodeAt(at)) return false;
  if (hashed.byteLength <= length) hashed = Buffer.alloc(2 * length + 1);
  hashed.set(text.subarray(0, length));
  hashed[length] = CLOSE_OBJECT;
  return base32(hashOnce("sha1", hashed.subarray(0, length + 1), "buffer")) === hash;
}
