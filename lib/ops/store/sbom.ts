// `sbom` of installed specs: a bill of materials from the DAG, the recipes in the prefixes and Spack's own documents.
import { makeSbom, type Sbom, type SbomPackage, type SbomSubject } from "../../sbom/bill.ts";
import { noFacts } from "../../spack/recipe/recipe-facts.ts";
import { readSpecFacts } from "../../spack/recipe/spec-facts.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { preOrder } from "../../spack/spec/traversal.ts";
import type { Store } from "../../spack/store/store.ts";

/** The specs to describe. */
export interface StoreSbomOptions {
  readonly store: Store;
  readonly roots: readonly SpecNode[];
  readonly subject: SbomSubject;
  /** When the document was made; by default when the last of the specs was installed. */
  readonly created?: number | undefined;
  readonly tool: string;
  /** Remembers what is known, by DAG hash, for more than one document about the same store. */
  readonly known?: Map<string, Pick<SbomPackage, "facts" | "supplier">> | undefined;
}

/** Makes the bill of materials of specs of a store. */
export function storeSbom({ store, roots, subject, created, tool, known = new Map() }: StoreSbomOptions): Sbom {
  const factsOf = (node: SpecNode): Pick<SbomPackage, "facts" | "supplier"> => {
    const before = known.get(node.hash);
    if (before !== undefined) return before;
    const path = node.external === undefined ? store.get(node.hash)?.path : undefined;
    const found =
      path === undefined || path === null ? { facts: noFacts(unknown(node)) } : readSpecFacts(store.locate(path), node);
    known.set(node.hash, found);
    return found;
  };
  return makeSbom({ subject, roots, created: created ?? lastInstallation(store, roots), tool, factsOf });
}

const unknown = ({ external }: SpecNode): string =>
  external === undefined ? "it is not installed" : "it is an external, which Spack did not build";

// Taken from the store and not from the clock, so that the same specs give the same document.
function lastInstallation(store: Store, roots: readonly SpecNode[]): number {
  const times = preOrder(roots).map(({ hash }) => store.get(hash)?.installationTime ?? 0);
  return Math.floor(times.reduce((last, time) => Math.max(last, time), 0)) * 1000;
}
