// Where the API of GitHub is that belongs to a registry.
import { StaveError } from "../../errors.ts";
import { withoutTrailing } from "../../util/without-trailing.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** The registry of github.com, and its API. */
const PUBLIC = { registry: "ghcr.io", api: "https://api.github.com" };

/**
 * The address of the API: the one that was named, that of github.com for ghcr.io, or that of the GitHub Enterprise
 * Server that a workflow runs on, for its own registry. Undefined for a registry of others, whose token GitHub must not
 * get. Throws USAGE for an address that is not valid.
 */
export function githubApi(
  registry: string,
  named: string | undefined,
  { env }: Pick<Surroundings, "env">,
): string | undefined {
  if (named !== undefined)
    return apiAddress(
      named,
      "the address of GitHub's API must be http or https, without a user, a query or a fragment",
    );
  if (registry === PUBLIC.registry) return PUBLIC.api;
  const server = URL.parse(env["GITHUB_SERVER_URL"] ?? "");
  const api = env["GITHUB_API_URL"];
  if (server === null || api === undefined || registry !== `containers.${server.host}`) return undefined;
  return apiAddress(api, "GITHUB_API_URL must be http or https, without a user, a query or a fragment");
}

function apiAddress(text: string, problem: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash)
    return withoutTrailing(text, "/");
  throw new StaveError("USAGE", problem, { hint: "for GitHub Enterprise Server it is https://HOST/api/v3" });
}
