// Spack's own files, located by the caller's options: configuration, store, environment.
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { type DiscoverOptions, type Discovery, discover } from "../../spack/config/discover.ts";
import { discoveryInputs } from "../../spack/config/discovery-inputs.ts";
import type { AskOptions } from "../../spack/environment/ask-spack.ts";
import { readProviders, withProviders } from "../../spack/query/providers.ts";
import { ANY, printQuery, resolveFiles, type SpecQuery } from "../../spack/query/query.ts";
import { satisfies } from "../../spack/query/satisfies.ts";
import { parseQueries, parseQuery, type QueryContext } from "../../spack/query/spec-parser.ts";
import { joinWords } from "../../spack/query/spec-words.ts";
import { type Lockfile, readEnvironmentLock } from "../../spack/spec/lockfile.ts";
import type { SpecGraph } from "../../spack/spec/node.ts";
import { readSpecFile, SPEC_FILE_LIMIT, type SpecDocument } from "../../spack/spec/spec-file.ts";
import type { Satisfies } from "../../spack/store/projection.ts";
import { Store, type StoreOptions } from "../../spack/store/store.ts";
import { configError } from "../../spack/text/yaml.ts";
import { StoreLocks } from "../../store/locks.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { readBounded } from "../../util/read-file.ts";
import { findOwnStore } from "../machine/own-store.ts";
import { currentHost, OS_RELEASE } from "../machine/read-machine.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** The locations of Spack's files, as on the command line. */
export interface SpackFlags {
  store?: string;
  env?: string | boolean;
  scope?: string[];
  config?: string[];
  sysroot?: string;
  spack?: string;
}

/** One spec of the SPEC arguments. */
export interface AskedSpec {
  /** The text that messages use. */
  readonly text: string;
  readonly query: SpecQuery;
  /** The spec itself, if the argument is a spec file. */
  readonly document: SpecDocument | undefined;
}

/** Asks the user which of several lines is meant; returns its number. */
export type Choose = (question: string, choices: readonly string[]) => Promise<number>;

/** The part of the outside world by which Spack's files are found. */
type Around = Pick<Surroundings, "env" | "cwd" | "home" | "clock" | "signal"> & {
  readonly choose?: Choose | undefined;
};

/** What the Spack flags refer to. The store and the lock file are read only when needed. */
export class SpackFiles {
  readonly discovery: Discovery;
  readonly #context: Around;
  readonly #flags: SpackFlags;
  readonly #options: DiscoverOptions;

  constructor(context: Around, flags: SpackFlags) {
    this.#context = context;
    this.#flags = flags;
    this.#options = {
      host: currentHost(context),
      spack: flags.spack,
      // commander's --no-env makes it false; without any flag it is true.
      environment: flags.env === true ? undefined : flags.env,
      scopes: flags.scope,
      settings: flags.config,
      store: flags.store,
    };
    this.discovery = discover(this.#options);
  }

  /** The files and folders that decided what was discovered, present or absent. */
  get inputs(): readonly string[] {
    return [...discoveryInputs(this.discovery, this.#options), ...OS_RELEASE];
  }

  /** Asks which of several specs is meant; undefined if there is no one to ask. */
  get choose(): Choose | undefined {
    return this.#context.choose;
  }

  /** Opens the store. Throws CONFIG_INVALID if its location is unknown. */
  async store(options: Pick<StoreOptions, "mayBeEmpty" | "emptyVersion"> = {}): Promise<Store> {
    const { store, upstreams } = this.discovery;
    if (store === undefined)
      throw new StaveError("CONFIG_INVALID", "the location of the Spack store is unknown", {
        hint: `name it with \`store\`${this.#ownStore()}, or set SPACK_ROOT`,
      });
    const { clock, cwd } = this.#context;
    return await Store.open(store.tree.root, {
      ...options,
      clock,
      sysroot: this.#flags.sysroot === undefined ? undefined : resolve(cwd, this.#flags.sysroot),
      upstreams: upstreams.map((upstream) => upstream.root),
      layout: store.tree,
      completeGraph: (graph) =>
        withProviders(graph, () =>
          readProviders(this.discovery.configuration, (text) => parseQuery(text, this.#queryContext())),
        ),
      satisfies: this.satisfier(EMPTY_GRAPH),
    });
  }

  // For a hint: after a run, the store is most likely that one.
  #ownStore(): string {
    const own = findOwnStore(this.#context);
    return own !== undefined && kindAt(own) === "folder"
      ? ` (what \`stave run\` installed is in ${printable(own)})`
      : "";
  }

  /** Answers whether specs satisfy queries of the configuration, such as those of projections. */
  satisfier(graph: SpecGraph): Satisfies {
    const parsed = new Map<string, SpecQuery>();
    return (node, text) => {
      const query = parsed.get(text) ?? parseQuery(text, this.#queryContext());
      parsed.set(text, query);
      return satisfies(node, graph, query);
    };
  }

  /** The locks of the store, with the configured settings; waits are reported to `onWait`. */
  locks(store: Store, onWait?: (text: string) => void): StoreLocks {
    const { clock, signal } = this.#context;
    return new StoreLocks(store, { clock, settings: this.discovery.locks, signal, onWait });
  }

  /**
   * The Spack to ask for what only it knows, with the environment and scopes in use. No Spack on this machine can read
   * a store below --sysroot. Throws CONFIG_INVALID if it would refuse the manifest of the environment.
   */
  spackToAsk(): AskOptions | undefined {
    const { installation, environment, store, upstreams } = this.discovery;
    const { scope: scopes, config: settings, sysroot } = this.#flags;
    if (installation === undefined || sysroot !== undefined) return undefined;
    const folder = environment?.contents === undefined ? undefined : environment.folder;
    const own = environment?.contents?.stave;
    // Found on the PATH, it does not get the environment.
    if (own !== undefined && installation.from !== "PATH")
      throw configError(
        own.place,
        "Spack refuses a manifest with a section stave, and this command must run Spack",
        `take it out and give its settings as \`image\`, or ${installation.from === "SPACK_ROOT" ? "unset SPACK_ROOT" : "leave out `spack`"}`,
      );
    const tree = store && { ...store.tree, upstreams: upstreams.map(({ root }) => root) };
    return { installation, env: this.#context.env, environment: folder, scopes, settings, store: tree };
  }

  /**
   * The path of the Spack that installed the specs, which archives contain: the Spack that was named, or the one whose
   * configuration locates the store.
   */
  get spackPrefix(): string | undefined {
    const { installation, store } = this.discovery;
    const isOwner = installation?.from !== "PATH" || store?.from === "configuration";
    // Spack finds itself by its real path.
    return installation && isOwner ? realpathSync(installation.root) : undefined;
  }

  /** The lock file of the environment in use; undefined if there is none. */
  async lock(): Promise<Lockfile | undefined> {
    const { environment } = this.discovery;
    return environment === undefined ? undefined : await readEnvironmentLock(environment.folder);
  }

  /**
   * Parses SPEC arguments, joined into one text as in Spack. Throws SPEC_INVALID, and what reading spec files throws.
   */
  async specs(words: readonly string[]): Promise<AskedSpec[]> {
    const asked: AskedSpec[] = [];
    for (const part of joinWords(words)) {
      const queries = "file" in part ? [{ ...ANY, file: part.file }] : parseQueries(part.text, this.#queryContext());
      const [first] = queries;
      const before = asked.at(-1);
      if (before?.document && first && !("file" in part) && first.name === undefined && first.hash === undefined)
        throw new StaveError("SPEC_INVALID", `a spec file cannot be combined with more of a query: ${before.text}`, {
          subject: before.text,
          hint: `leave out ${printQuery(first)}, or name the spec instead of the file`,
        });
      for (const query of queries) asked.push(await this.#asked(query));
    }
    return asked;
  }

  /** Only the queries; a spec file becomes a query for its hash. */
  async queries(words: readonly string[]): Promise<SpecQuery[]> {
    return (await this.specs(words)).map(({ query }) => query);
  }

  async #asked(query: SpecQuery): Promise<AskedSpec> {
    const text = printQuery(query);
    if (query.file !== undefined) {
      const document = await this.#readSpec(query.file);
      return { text, query: { ...ANY, hash: document.root.hash }, document };
    }
    const resolved = await resolveFiles(query, async (path) => (await this.#readSpec(path)).root);
    return { text, query: resolved, document: undefined };
  }

  #queryContext(): QueryContext {
    const { configuration, toolchains } = this.discovery;
    return { host: configuration.context.host, toolchains };
  }

  async #readSpec(path: string): Promise<SpecDocument> {
    const file = resolve(this.#context.cwd, path);
    return readSpecFile((await readBounded(file, SPEC_FILE_LIMIT)).bytes, path);
  }
}

/** Projections are matched against single nodes, without their dependencies. */
const EMPTY_GRAPH = { get: () => undefined, nodes: () => [], size: 0, virtualsOf: () => new Set<string>() };
