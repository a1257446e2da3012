// Changes the records of an install database, with reference counts as in Spack (Spack `database.py`, _add and
// _remove). Works on values; write-database.ts reads and writes the file.
import { StaveError } from "../errors.ts";
import type { SpecNode } from "../spack/spec/node.ts";
import { shortName } from "../spack/spec/spec-name.ts";
import { nodeDictionary } from "../spack/spec/spec-writer.ts";
import { sortedEdges } from "../spack/spec/traversal.ts";
import { NEWEST_DATABASE, nodeFormat } from "../spack/store/database.ts";
import { copyObject } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";

/** One change of the database. */
export type Change =
  /**
   * The prefix now contains the spec. Without `explicit`, the old value stays; it is false for a new spec. `isPlaced`
   * is for a caller that has checked the spec file, put the prefix there and still holds its lock: the file is not read
   * again.
   */
  | { readonly op: "add"; readonly node: SpecNode; readonly explicit?: boolean; readonly isPlaced?: boolean }
  /** Sets whether the user requested the spec. Does nothing without a record. */
  | { readonly op: "mark"; readonly hash: string; readonly explicit: boolean }
  /** The prefix is about to be removed. */
  | { readonly op: "remove"; readonly hash: string };

/** What changes depend on besides the records. */
export interface Surroundings {
  /** Seconds since the epoch, for the records. */
  readonly now: number;
  /** The node of a record as it was before the changes; asked for only if records are removed. */
  nodeOf(hash: string): SpecNode | undefined;
  /** The recorded prefix of a spec. */
  prefixOf(node: SpecNode): string;
  /** True if the prefix of a spec contains it. */
  isThere(node: SpecNode): Promise<boolean>;
  /** True if an upstream store has it; it then gets no record here. */
  isUpstream(hash: string): boolean;
}

/** The result of an update, by DAG hash. */
export interface UpdateReport {
  readonly added: string[];
  readonly changed: string[];
  readonly removed: string[];
}

/** The records of a database during changes. */
export class Records {
  readonly report: UpdateReport = { added: [], changed: [], removed: [] };
  readonly #installs: JsonObject;
  readonly #version: number;
  readonly #around: Surroundings;
  readonly #newChildren = new Map<string, readonly string[]>();

  /** `installs` is changed in place, its members are not; `version` is that of its database. */
  constructor(installs: JsonObject, version: number, around: Surroundings) {
    this.#installs = installs;
    this.#version = version;
    this.#around = around;
  }

  /**
   * Applies one change. Throws SPEC_NOT_INSTALLED if the prefix of an added spec does not contain it, UNSUPPORTED if
   * its format differs from the database's.
   */
  async apply(change: Change): Promise<void> {
    if (change.op === "add") await this.#add(change.node, change.explicit);
    else if (change.op === "remove") this.#remove(change.hash);
    else if (this.#has(change.hash)) this.#set(change.hash, { explicit: change.explicit });
  }

  async #add(node: SpecNode, explicit: boolean | undefined): Promise<void> {
    const { hash } = node;
    if (!this.#has(hash) && this.#around.isUpstream(hash)) return;
    if (!(await this.#isInstalled(node))) throw notThere(node, this.#around.prefixOf(node));
    if (this.#has(hash)) {
      const asked = explicit === undefined ? {} : { explicit };
      this.#set(hash, { installed: true, installation_time: this.#around.now, ...asked });
      return;
    }
    // Dependencies first; a spec with a record, here or upstream, has records of its own dependencies.
    const stack = [{ node, edges: sortedEdges(node).values() }];
    const entered = new Set([hash]);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { value: edge } = top.edges.next();
      if (edge === undefined) {
        stack.pop();
        const isAsked = top.node === node;
        await this.#create(top.node, isAsked || (await this.#isInstalled(top.node)), isAsked && (explicit ?? false));
      } else if (!entered.has(edge.child.hash)) {
        const { child } = edge;
        entered.add(child.hash);
        if (!this.#has(child.hash) && !this.#around.isUpstream(child.hash))
          stack.push({ node: child, edges: sortedEdges(child).values() });
      }
    }
  }

  async #create(node: SpecNode, installed: boolean, explicit: boolean): Promise<void> {
    const { hash } = node;
    this.#installs[hash] = {
      spec: this.#dictionary(node),
      ref_count: 0,
      path: node.external === undefined ? this.#around.prefixOf(node) : node.external.path,
      installed,
      explicit,
      installation_time: this.#around.now,
      deprecated_for: null,
    };
    const children = childrenOf(node);
    this.#newChildren.set(hash, children);
    this.report.added.push(hash);
    for (const child of children) this.#count(child, 1);
  }

  #remove(hash: string): void {
    const record = this.#record(hash);
    if (record === undefined) return;
    if (countOf(record) > 0) {
      this.#set(hash, { installed: false });
      return;
    }
    this.#delete(hash, record);
  }

  // Deletes a record without references, and then those that only it referred to.
  #delete(hash: string, record: JsonObject): void {
    const gone: [string, JsonObject][] = [[hash, record]];
    for (let next = gone.pop(); next !== undefined; next = gone.pop()) {
      const [key, { deprecated_for: successor }] = next;
      const isFirst = key === hash;
      delete this.#installs[key];
      this.report.removed.push(key);
      const referred = isFirst && typeof successor === "string" ? [successor] : [];
      for (const other of [...this.#children(key), ...referred]) {
        this.#count(other, -1);
        const left = this.#record(other);
        if (left !== undefined && countOf(left) === 0 && left["installed"] !== true) gone.push([other, left]);
      }
    }
  }

  #children(hash: string): readonly string[] {
    const added = this.#newChildren.get(hash);
    if (added !== undefined) return added;
    const node = this.#around.nodeOf(hash);
    return node === undefined ? [] : childrenOf(node);
  }

  #count(hash: string, by: number): void {
    const record = this.#record(hash);
    if (record !== undefined) this.#installs[hash] = changed(record, { ref_count: countOf(record) + by });
  }

  #set(hash: string, fields: Record<string, JsonValue>): void {
    const record = this.#record(hash);
    if (record === undefined) return;
    this.#installs[hash] = changed(record, fields);
    this.report.changed.push(hash);
  }

  #has(hash: string): boolean {
    return Object.hasOwn(this.#installs, hash);
  }

  #record(hash: string): JsonObject | undefined {
    const record = this.#has(hash) ? this.#installs[hash] : undefined;
    return typeof record === "object" && record !== null && !Array.isArray(record) ? record : undefined;
  }

  // As in Spack, externals count as installed without a check.
  async #isInstalled(node: SpecNode): Promise<boolean> {
    return node.external !== undefined || (await this.#around.isThere(node));
  }

  #dictionary(node: SpecNode): JsonObject {
    if (this.#version === NEWEST_DATABASE) return nodeDictionary(node);
    if (node.format === nodeFormat(this.#version)) return node.raw;
    throw new StaveError(
      "UNSUPPORTED",
      `${shortName(node)} is written in spec format ${node.format}, but the database of the store has version ${this.#version}, which has format ${nodeFormat(this.#version)}`,
      { subject: node.hash, hint: "use a separate store, or run `spack reindex` with a Spack that knows the format" },
    );
  }
}

// A child with several edges counts once.
function childrenOf(node: SpecNode): string[] {
  return [...new Set(node.edges.map((edge) => edge.child.hash))];
}

function countOf(record: JsonObject): number {
  const count = record["ref_count"];
  return typeof count === "number" ? count : 0;
}

function changed(record: JsonObject, fields: Record<string, JsonValue>): JsonObject {
  return Object.assign(copyObject(record), fields);
}

function notThere(node: SpecNode, prefix: string): StaveError {
  return new StaveError("SPEC_NOT_INSTALLED", `${shortName(node)} is not installed: ${prefix} does not contain it`, {
    subject: node.hash,
  });
}
