// Lists the repositories of a registry, where it does that (docker distribution, "Listing Repositories"; OCI has no
// such list).
import * as z from "zod";
import { isStaveError, StaveError } from "../../errors.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { isRepository } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import type { OperationOptions } from "../target.ts";
import { Repository, type RepositoryOptions } from "./repository.ts";
import { pages } from "./tags.ts";

const pageSchema = z.looseObject({ repositories: z.array(z.string().max(1000)).nullish() });

/** The requested page size; docker's registry refuses more. */
const PAGE_SIZE = 1000;
/** Maximum number of bytes of the whole list. */
const CATALOG_LIMIT = 64 * 1024 * 1024;

// Messages name the host: the list belongs to no repository.
class Catalog extends Repository {
  override readonly name: string;

  constructor(options: Omit<RepositoryOptions, "repository">) {
    super({ ...options, repository: "catalog" });
    this.name = options.scheme === "http" ? `oci+http://${options.registry}` : options.registry;
  }
}

/**
 * Every repository that the registry lists, in its order. Throws UNSUPPORTED if it has no such list, and
 * CONTENT_INVALID for an invalid name.
 */
export async function* listRepositories(
  place: Omit<RepositoryOptions, "repository">,
  { signal }: OperationOptions = {},
): AsyncIterable<string> {
  const catalog = new Catalog(place);
  const scopes = [{ repository: "", actions: ["*"] as const }];
  const options = { what: "repositories", limit: CATALOG_LIMIT, scopes, signal };
  try {
    for await (const page of pages(catalog, `/v2/_catalog?n=${PAGE_SIZE}`, options))
      for (const name of parseBySchema(page.bytes, pageSchema, `list of ${catalog.name}`).repositories ?? []) {
        if (!isRepository(name)) throw notARepository(catalog.name, name);
        yield name;
      }
  } catch (error) {
    if (!isStaveError(error, "NOT_FOUND", "UNSUPPORTED", "DENIED")) throw error;
    throw new StaveError("UNSUPPORTED", `${catalog.name} does not list its repositories`, {
      subject: catalog.name,
      hint: `name one: ${catalog.name}/REPOSITORY`,
      ...(error.status === undefined ? {} : { status: error.status }),
      cause: error,
    });
  }
}

function notARepository(registry: string, text: string): StaveError {
  const name = printable(text, { most: 160 });
  return new StaveError("CONTENT_INVALID", `${registry} lists an invalid repository: "${name}"`, {
    op: "list repositories",
    subject: registry,
  });
}
