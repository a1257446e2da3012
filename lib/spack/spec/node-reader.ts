// Reads one node dictionary of any spec format (Spack `spec.py`, SpecfileV1 to SpecfileV5). Its dependencies stay
// references here; graph.ts links them.

import { printable } from "../../printable/printable.ts";
import {
  asStrings,
  inside,
  listAt,
  objectAt,
  optionalStringAt,
  own,
  type Place,
  stringAt,
  wrong,
} from "../text/fields.ts";
import { isObject } from "../text/json.ts";
import type { JsonObject, JsonValue } from "../text/json-value.ts";
import { BUILD, type External, LINK, RUN, TEST, type VariantValue } from "./node.ts";

/** A reference to another node, as written in the file. */
export interface Reference {
  readonly name: string;
  /** A DAG hash, or the key that the file uses instead (formats before 3 used other hashes). */
  readonly key: string;
  readonly types: number;
  readonly virtuals: readonly string[];
  readonly direct: boolean;
}

/** A node without its edges. */
export interface NodeFields {
  readonly name: string;
  readonly version: string;
  /** Absent in the oldest environment locks, where only the key is known. */
  readonly hash: string | undefined;
  readonly namespace: string | undefined;
  readonly platform: string;
  readonly os: string;
  readonly target: string;
  readonly variants: ReadonlyMap<string, VariantValue>;
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly external: External | undefined;
  readonly compiler: { readonly name: string; readonly version: string } | undefined;
  readonly buildSpec: { readonly name: string; readonly hash: string } | undefined;
  readonly format: number;
  readonly raw: JsonObject;
  readonly references: readonly Reference[];
}

/** The newest supported spec format (Spack 1.0 to 1.2). */
export const NEWEST_FORMAT = 5;

/**
 * The keys that identify nodes in dependency lists; formats before 3 use all of them, later ones only `hash` (Spack
 * `hash_types.py`).
 */
export const HASH_KEYS = ["hash", "full_hash", "build_hash"] as const;

const DAG_HASH = /^[a-z2-7]{32}$/;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;
const CONTROL = /\p{Cc}/u;
const FLAGS = new Set(["cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs"]);
const TYPE_BITS = new Map([
  ["build", BUILD],
  ["link", LINK],
  ["run", RUN],
  ["test", TEST],
]);
const NONE: readonly string[] = [];

/** True if a text has the form of a DAG hash. */
export function isDagHash(text: string): boolean {
  return DAG_HASH.test(text);
}

/** Splits `{name: node}` of format 1; later formats keep the name inside the node. */
function nameAndData(node: JsonObject, format: number, place: Place): [string, JsonObject, Place] {
  if (format > 1) return [stringAt(node, "name", place), node, place];
  const [name, ...more] = Object.keys(node);
  if (name === undefined || more.length > 0) throw wrong(place, "", node, "an object with one key, the package name");
  return [name, objectAt(node, name, place), inside(place, name)];
}

// Nodes that recur in many documents are shared by the parser, and read only once.
const nodes = new WeakMap<JsonObject, NodeFields>();

/** Reads a node of the given format. Throws the code of the place's source, naming the field. */
export function readNode(value: JsonValue | undefined, format: number, where: Place): NodeFields {
  if (!isObject(value)) throw wrong(where, "node", value, "an object");
  const known = nodes.get(value);
  if (known?.format === format) return known;
  const read = readFields(value, format, where);
  if (Object.isFrozen(value)) nodes.set(value, read);
  return read;
}

function readFields(value: JsonObject, format: number, where: Place): NodeFields {
  const [name, raw, place] = nameAndData(value, format, where);
  if (!NAME.test(name)) throw wrong(place, "name", name, "a package name");
  const version = stringAt(raw, "version", place);
  if (version === "" || version.length > 1024 || CONTROL.test(version))
    throw wrong(place, "version", version, "a version");
  if (own(raw, "concrete") === false) throw wrong(place, "concrete", false, "a concrete spec");
  const arch = objectAt(raw, "arch", place);
  return {
    name,
    version,
    hash: readHash(raw, place),
    namespace: optionalStringAt(raw, "namespace", place),
    platform: word(arch, "platform", inside(place, "arch")),
    os: word(arch, "platform_os", inside(place, "arch")),
    target: readTarget(arch, inside(place, "arch")),
    ...readParameters(raw, place),
    external: readExternal(raw, place),
    compiler: readCompiler(raw, format, place),
    buildSpec: readBuildSpec(raw, place),
    format,
    raw,
    references: readReferences(raw, format, place),
  };
}

function readHash(raw: JsonObject, place: Place): string | undefined {
  const hash = optionalStringAt(raw, "hash", place);
  if (hash !== undefined && !DAG_HASH.test(hash)) throw wrong(place, "hash", hash, "32 characters of a-z and 2-7");
  return hash;
}

// Reads a part of the architecture, which becomes part of paths and messages.
function word(arch: JsonObject, key: string, place: Place): string {
  const text = stringAt(arch, key, place);
  if (text === "" || text.length > 128 || CONTROL.test(text)) throw wrong(place, key, text, "a name");
  return text;
}

// A target is a name, or an object that describes it; only the name matters.
function readTarget(arch: JsonObject, place: Place): string {
  const target = own(arch, "target");
  return isObject(target) ? word(target, "name", inside(place, "target")) : word(arch, "target", place);
}

interface Parameters {
  readonly variants: ReadonlyMap<string, VariantValue>;
  readonly flags: ReadonlyMap<string, readonly string[]>;
}
const NO_PARAMETERS: Parameters = { variants: new Map(), flags: new Map() };
// Nearly every node has all kinds of flags, all empty.
const EMPTY_FLAGS: Parameters["flags"] = new Map(Array.from(FLAGS, (kind) => [kind, NONE]));
// The parser shares and freezes equal objects, so most parameters and edges are read only once.
const nodeParameters = new WeakMap<JsonObject, Parameters>();

function readParameters(raw: JsonObject, place: Place): Parameters {
  const parameters = own(raw, "parameters");
  if (parameters === undefined) return NO_PARAMETERS;
  if (!isObject(parameters)) throw wrong(place, "parameters", parameters, "an object");
  const known = nodeParameters.get(parameters);
  if (known !== undefined) return known;
  const variants = new Map<string, VariantValue>();
  const set: [string, readonly string[]][] = [];
  let empty = 0;
  for (const key of Object.keys(parameters)) {
    const value = parameters[key];
    if (!FLAGS.has(key)) variants.set(key, readVariant(value, key, place));
    else if (!Array.isArray(value)) throw wrong(inside(place, "parameters"), key, value, "a list of flags");
    else {
      if (value.length === 0) empty++;
      set.push([key, value.length === 0 ? NONE : asStrings(value, inside(inside(place, "parameters"), key))]);
    }
  }
  const read = { variants, flags: empty === FLAGS.size ? EMPTY_FLAGS : new Map(set) };
  if (Object.isFrozen(parameters)) nodeParameters.set(parameters, read);
  return read;
}

// The kind is inferred (Spack `variant.py`, from_node_dict): a list is multi-valued; true and false, also as words in
// any case, are boolean; anything else is single-valued. Old files sometimes hold numbers and Python's None.
function readVariant(value: JsonValue | undefined, key: string, place: Place): VariantValue {
  if (typeof value === "boolean") return value;
  const where = inside(place, "parameters");
  if (Array.isArray(value)) return value.map((item, at) => variantText(item, inside(where, key), at));
  const text = variantText(value, where, key);
  const lower = text.length <= 5 ? text.toLowerCase() : "";
  return lower === "true" || (lower === "false" ? false : text);
}

function variantText(value: JsonValue | undefined, place: Place, key: string | number): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value === null) return "None";
  throw wrong(place, key, value, "true, false, a string or a list of strings");
}

function readExternal(raw: JsonObject, outer: Place): External | undefined {
  const external = own(raw, "external");
  if (external === undefined || external === null) return undefined;
  const place = inside(outer, "external");
  if (!isObject(external)) throw wrong(outer, "external", external, "an object");
  if (Object.keys(external).length === 0) return undefined;
  const path = optionalStringAt(external, "path", place) ?? null;
  const modules = own(external, "module");
  const attributes = own(external, "extra_attributes");
  if (attributes !== undefined && attributes !== null && !isObject(attributes))
    throw wrong(place, "extra_attributes", attributes, "an object");
  return {
    path: path === "None" ? null : path,
    modules: asModules(modules, place),
    extraAttributes: attributes ?? {},
  };
}

function asModules(modules: JsonValue | undefined, place: Place): readonly string[] {
  if (Array.isArray(modules)) return asStrings(modules, inside(place, "module"));
  return typeof modules === "string" ? [modules] : NONE;
}

function readCompiler(raw: JsonObject, format: number, place: Place): NodeFields["compiler"] {
  if (format < 5) {
    if (own(raw, "compiler") === undefined) return undefined;
    const compiler = objectAt(raw, "compiler", place);
    const where = inside(place, "compiler");
    return { name: stringAt(compiler, "name", where), version: stringAt(compiler, "version", where) };
  }
  const annotations = own(raw, "annotations");
  if (!isObject(annotations)) return undefined;
  const text = optionalStringAt(annotations, "compiler", inside(place, "annotations"));
  const at = text?.indexOf("@") ?? -1;
  if (text === undefined || at < 0) return undefined;
  return { name: text.slice(0, at), version: text.slice(at + 1).replace(/^=/, "") };
}

function readBuildSpec(raw: JsonObject, place: Place): NodeFields["buildSpec"] {
  if (own(raw, "build_spec") === undefined) return undefined;
  const spec = objectAt(raw, "build_spec", place);
  const where = inside(place, "build_spec");
  const [, hash] = hashOf(spec) ?? [];
  if (hash === undefined) throw wrong(where, "hash", undefined, "a DAG hash");
  return { name: stringAt(spec, "name", where), hash };
}

/** The key that identifies a dependency and its value, or undefined. */
export function hashOf(item: JsonObject): [(typeof HASH_KEYS)[number], string] | undefined {
  for (const key of HASH_KEYS) {
    const value = own(item, key);
    if (typeof value === "string") return [key, value];
  }
  return undefined;
}

// References that were already read from frozen items, by spec format: the parser shares equal items.
const sharedReferences = new Map<number, WeakMap<object, Reference>>();

function readReferences(raw: JsonObject, format: number, place: Place): readonly Reference[] {
  const dependencies = own(raw, "dependencies");
  if (dependencies === undefined) return [];
  const where = inside(place, "dependencies");
  if (format === 1) {
    if (!isObject(dependencies)) throw wrong(place, "dependencies", dependencies, "an object");
    return Object.keys(dependencies).map((name) => readReference(dependencies[name], name, format, where, name));
  }
  if (!Array.isArray(dependencies)) throw wrong(place, "dependencies", dependencies, "a list");
  const byItem = sharedReferences.get(format) ?? new WeakMap<object, Reference>();
  sharedReferences.set(format, byItem);
  return dependencies.map((item, at) => {
    const isShared = isObject(item) && Object.isFrozen(item);
    const found = isShared ? byItem.get(item) : undefined;
    if (found !== undefined) return found;
    const read = readReference(item, undefined, format, where, at);
    if (isShared) byItem.set(item, read);
    return read;
  });
}

// A database has hundreds of thousands of these, so a place is made only for an error.
function readReference(
  item: JsonValue | undefined,
  known: string | undefined,
  format: number,
  list: Place,
  at: string | number,
): Reference {
  if (!isObject(item)) throw wrong(list, at, item, "an object");
  const name = known ?? own(item, "name");
  if (typeof name !== "string") throw wrong(inside(list, at), "name", name, "a string");
  const key = own(item, "hash") ?? hashOf(item)?.[1];
  if (typeof key !== "string") throw wrong(inside(list, at), "hash", key, "a DAG hash");
  if (format < 4) return { name, key, types: readTypes(item, "type", inside(list, at)), virtuals: NONE, direct: true };
  const parameters = own(item, "parameters");
  if (!isObject(parameters)) throw wrong(inside(list, at), "parameters", parameters, "an object");
  const { types, virtuals, direct } = edgeParameters.get(parameters) ?? readEdgeParameters(parameters, list, at);
  return { name, key, types, virtuals, direct: direct || format < 5 };
}

interface EdgeParameters {
  readonly types: number;
  readonly virtuals: readonly string[];
  readonly direct: boolean;
}
const edgeParameters = new WeakMap<JsonObject, EdgeParameters>();

function readEdgeParameters(parameters: JsonObject, list: Place, at: string | number): EdgeParameters {
  const place = inside(inside(list, at), "parameters");
  const virtuals = listAt(parameters, "virtuals", place);
  const read = {
    types: readTypes(parameters, "deptypes", place),
    virtuals: virtuals.length === 0 ? NONE : asStrings(virtuals, inside(place, "virtuals")),
    direct: own(parameters, "direct") === true,
  };
  if (Object.isFrozen(parameters)) edgeParameters.set(parameters, read);
  return read;
}

function readTypes(object: JsonObject, key: string, place: Place): number {
  let bits = 0;
  for (const type of listAt(object, key, place)) {
    const bit = typeof type === "string" ? TYPE_BITS.get(type) : undefined;
    if (bit === undefined) throw wrong(place, key, type, "build, link, run or test");
    bits |= bit;
  }
  return bits;
}

/** A node's name in messages: `name@version/hash7`, printable. */
export function shortName(node: { name: string; version: string; hash?: string | undefined }): string {
  const hash = node.hash === undefined ? "" : `/${node.hash.slice(0, 7)}`;
  return printable(`${node.name}@${node.version}${hash}`);
}
