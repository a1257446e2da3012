// The repositories of a served directory: the directory itself if it is a layout, otherwise one layout per
// subdirectory.

import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isStaveError } from "../errors.ts";
import { LayoutTarget } from "../target/layout/layout.ts";
import { isEmptyLayout, LAYOUT_FILES, LEFTOVERS } from "../target/layout/layout-folder.ts";
import { closeAll } from "../util/close-all.ts";
import { isLink } from "../util/inspect-path.ts";
import { SingleFlight } from "../util/limit.ts";
import type { Clock } from "../util/time.ts";
import { Refusal } from "./refusal.ts";

// OCI distribution 1.1, "Pulling manifests": <name>.
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const NAME_LIMIT = 255;
/** Names of a layout's own files, which a repository cannot have. */
const RESERVED = new Set(["blobs", "index.json", "oci-layout"]);

/** The repositories below one directory. */
export class Repositories {
  readonly directory: string;
  /** The only repository's name, if the directory is one layout. */
  readonly single: string | undefined;
  readonly #clock: Clock;
  readonly #open = new Map<string, LayoutTarget>();
  readonly #opening = new SingleFlight<LayoutTarget>();

  private constructor(directory: string, single: string | undefined, clock: Clock) {
    this.directory = resolve(directory);
    this.single = single;
    this.#clock = clock;
  }

  /** Opens a directory: as one repository if it is a layout. */
  static async open(directory: string, clock: Clock): Promise<Repositories> {
    const isLayout = await stat(join(directory, "oci-layout")).then(
      () => true,
      () => false,
    );
    return new Repositories(directory, isLayout ? repositoryName(basename(resolve(directory))) : undefined, clock);
  }

  /** The layout of a repository; created if it does not exist and `create` is set. Refuses bad and unknown names. */
  async get(name: string, create: boolean): Promise<LayoutTarget> {
    if (name.length > NAME_LIMIT || !NAME.test(name) || name.split("/").some((part) => RESERVED.has(part)))
      throw new Refusal("NAME_INVALID", `invalid repository name ${JSON.stringify(name.slice(0, NAME_LIMIT))}`);
    if (this.single !== undefined && name !== this.single)
      throw new Refusal(
        "NAME_UNKNOWN",
        `there is no repository ${name}: only the directory of ${this.single} is served; serve its parent folder to have more`,
      );
    if (this.#hasLink(name)) {
      const why = create ? `${name} cannot be a repository: a link is in its place` : `there is no repository ${name}`;
      throw new Refusal(create ? "DENIED" : "NAME_UNKNOWN", why);
    }
    const known = this.#open.get(name);
    if (known) return known;
    const directory = this.#folder(name);
    try {
      // Lookups must not share failures with creations, so these are separate flights.
      return await this.#opening.run(`${create} ${name}`, async () => {
        // Even if `a/b` exists, `a` can still become a repository.
        const mayStay = (entry: string) => holdsRepositories(directory, entry);
        const opened = await LayoutTarget.open(directory, { clock: this.#clock, create, mayStay });
        const first = this.#open.get(name) ?? opened;
        this.#open.set(name, first);
        return first;
      });
    } catch (error) {
      if (isStaveError(error, "NOT_FOUND")) throw new Refusal("NAME_UNKNOWN", `there is no repository ${name}`);
      if (isStaveError(error, "USAGE"))
        throw new Refusal("DENIED", `${name} cannot be a repository: its folder contains other files`);
      throw error;
    }
  }

  /** The names of the repositories with a manifest, sorted. */
  async catalog(): Promise<string[]> {
    const found: string[] = [];
    for (const name of await this.names()) if (!(await isEmptyLayout(this.#folder(name)))) found.push(name);
    return found;
  }

  /**
   * True if a link stands in the place of a repository's folder or file: it may lead out of the served directory (which
   * itself may be a link). Checked at each request, because it is cheap and links can be created at any time.
   */
  #hasLink(name: string): boolean {
    const folder = this.#folder(name);
    const paths = LAYOUT_FILES.map((file) => join(folder, file));
    if (this.single === undefined)
      for (let above = folder; above.length > this.directory.length; above = dirname(above)) paths.push(above);
    return paths.some((path) => isLink(path));
  }

  #folder(name: string): string {
    return this.single === undefined ? join(this.directory, ...name.split("/")) : this.directory;
  }

  /** The names of all repositories, even those with blobs only, sorted. */
  async names(): Promise<string[]> {
    if (this.single !== undefined) return [this.single];
    const found: string[] = [];
    const walk = async (directory: string, name: string): Promise<void> => {
      const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
      if (name !== "" && entries.some((entry) => entry.name === "oci-layout")) found.push(name);
      for (const entry of entries)
        if (entry.isDirectory() && !RESERVED.has(entry.name) && NAME.test(entry.name))
          await walk(join(directory, entry.name), name === "" ? entry.name : `${name}/${entry.name}`);
    };
    await walk(this.directory, "");
    return found.sort();
  }

  /** Cleans up after a killed server: removes leftovers of uploads and folds journals. */
  async recover(onError: (error: unknown) => void): Promise<void> {
    for (const name of await this.names())
      try {
        const inside = await readdir(this.#folder(name));
        if (!LEFTOVERS.some((leftover) => inside.includes(leftover))) continue;
        const layout = await this.get(name, false);
        await layout.blobs.enter();
        await layout.index.fold();
        await layout.close();
      } catch (error) {
        onError(error);
      }
  }

  /** Closes all repositories that were opened. */
  async close(): Promise<void> {
    await closeAll([...this.#open.values()].map((opened) => () => opened.close()));
  }
}

/** True if an entry is a folder that contains only repositories, including ones being created. */
async function holdsRepositories(parent: string, entry: string): Promise<boolean> {
  if (!NAME.test(entry)) return false;
  const directory = join(parent, entry);
  if (isLink(directory)) return false;
  const inside = await readdir(directory).catch(() => undefined);
  if (inside === undefined) return false;
  if (inside.some((name) => RESERVED.has(name))) return true;
  for (const name of inside) if (!(await holdsRepositories(directory, name))) return false;
  return true;
}

/** Turns a folder's name into a repository name. */
function repositoryName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return name === "" ? "cache" : name;
}
