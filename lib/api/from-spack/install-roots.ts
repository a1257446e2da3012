// What an installation takes from Spack's files: the requested specs, and the permissions of installed files.
import { StaveError } from "../../errors.ts";
import type { InstallOptions } from "../../ops/install/install.ts";
import type { InstallSource, SpecInGraph } from "../../ops/install/source.ts";
import { permissions } from "../../spack/config/settings.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { fitsHost, type HostArchitecture } from "../../spack/spec/fits-host.ts";
import type { Store } from "../../spack/store/store.ts";
import { directoryMode } from "../../store/staged-prefix.ts";
import { mapLimit } from "../../util/limit.ts";
import { findProgram } from "../machine/programs.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { SpackFiles } from "./spack-files.ts";
import { chosenAmong, nothingNamed } from "./spack-specs.ts";

/** Opens the store of an installation, which may not exist yet; `version` is the version of a new database. */
export async function installStore(files: SpackFiles, version?: string): Promise<Store> {
  const isOldSpack = files.discovery.installation?.version.startsWith("0.") === true;
  return await files.store({ mayBeEmpty: true, emptyVersion: Number(version ?? (isOldSpack ? 7 : 8)) });
}

/** The configured permissions, and the tools of this machine. */
export function installSide(
  files: SpackFiles,
  around: Surroundings,
  onWarning: (text: string) => void,
): Pick<InstallOptions, "permissionsOf" | "patchelf"> {
  let warned = false;
  return {
    permissionsOf: (name) => {
      const wanted = permissions(files.discovery.configuration, name);
      if (wanted.group !== undefined && !warned) {
        warned = true;
        onWarning(`the configured group ${wanted.group} is not applied to installed files`);
      }
      const directory = directoryMode(wanted);
      return { directory, file: directory & 0o777 };
    },
    patchelf: findProgram("patchelf", around),
  };
}

/** How many specs to look up at once. Many, because `InstallSource` reads those with the most dependencies first. */
const CONCURRENCY = 256;

/** Where to look up specs. */
export interface InstallLookup {
  readonly files: SpackFiles;
  readonly source: InstallSource;
  readonly store: Store;
  readonly host: HostArchitecture | undefined;
  /** A query may match several specs. */
  readonly isMany: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The specs that the words name, or the roots of the environment without any. Throws USAGE if nothing is named, or if a
 * query matches several specs; SPEC_ABSENT.
 */
export async function installRoots(lookup: InstallLookup, words: readonly string[]): Promise<InstallOptions["roots"]> {
  const { files, source, store } = lookup;
  if (words.length === 0) {
    const lock = await files.lock();
    if (lock === undefined) throw nothingNamed();
    const { graph } = lock;
    return [...new Map(lock.roots.map(({ node }) => [node.hash, { node, graph }])).values()];
  }
  const found = await mapLimit(
    await files.specs(words),
    CONCURRENCY,
    async ({ query, text, document }) => {
      // An installed spec named by its whole hash need not be looked up.
      const there = query.hash === undefined ? undefined : store.get(query.hash);
      if (there?.installed) return [{ node: there.node, graph: store.database.graph }];
      // A spec file names everything that caches file a spec under.
      if (document !== undefined) {
        const { root, graph } = (await source.readAhead(document.root, { signal: lookup.signal })).document;
        return [{ node: root, graph }];
      }
      return (await candidates(lookup, query, text)).map(({ root, graph }) => ({ node: root, graph }));
    },
    lookup.signal,
  );
  const roots = new Map(found.flat().map((root) => [root.node.hash, root]));
  if (roots.size === 0) throw nothingNamed();
  return [...roots.values()];
}

// If several match, those for this machine take precedence.
async function candidates(
  { files, source, host, isMany, signal }: InstallLookup,
  query: SpecQuery,
  text: string,
): Promise<SpecInGraph[]> {
  const all = await source.find(query, text, { signal });
  const fitting = all.filter(({ root }) => fitsHost(root, host));
  const found = fitting.length > 0 ? fitting : all;
  if (found.length === 1 || isMany) return found;
  const { choose } = files;
  if (choose !== undefined) {
    const nodes = found.map(({ root }) => root);
    const chosen = await chosenAmong(choose, nodes, query);
    if (chosen !== undefined) return found.filter(({ root }) => root === chosen);
  }
  const names = found.slice(0, 10).map(({ root }) => `${root.name}@${root.version}/${root.hash.slice(0, 7)}`);
  throw new StaveError("USAGE", `${text} matches ${found.length} specs in ${source.name}: ${names.join(", ")}`, {
    hint: "name one by its hash, or take all with `multiple`",
  });
}
