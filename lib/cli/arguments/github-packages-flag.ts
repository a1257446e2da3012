// The packages API of GitHub, by which verbs delete images: GitHub's registry itself deletes none.
import type { Command } from "commander";
import { githubApi } from "../../api/places/github-api.ts";
import type { CacheLocation } from "../../api/places/mirror-location.ts";
import type { FoundCredential } from "../../auth/credential.ts";
import type { Keychain } from "../../auth/keychain.ts";
import type { Transport } from "../../http/types.ts";
import type { ManifestDeleter } from "../../target/target.ts";
import type { Context } from "../machine/context.ts";

/** The flag of verbs that delete images. */
export interface GithubFlags {
  githubApi?: string;
}

/** Adds the flag. */
export function addGithub(command: Command): Command {
  return command.option("--github-api <url>", "delete through this API of GitHub if the registry does not delete");
}

/** The packages behind a registry of GitHub, or of the API that a flag names; undefined for other places. */
export async function githubPackages(
  location: CacheLocation,
  use: {
    readonly transport: Transport;
    readonly keychain: Keychain;
    readonly flags: GithubFlags;
    readonly context: Context;
  },
): Promise<ManifestDeleter | undefined> {
  if (location.kind !== "registry") return undefined;
  const { transport, keychain, flags, context } = use;
  const { registry, repository } = location.reference;
  const api = githubApi(registry, flags.githubApi, context);
  if (api === undefined) return undefined;
  const { GithubPackages } = await import("../../target/registry/github-packages.ts");
  const credential = async (signal: AbortSignal | undefined): Promise<FoundCredential | undefined> =>
    (await keychain.resolve(registry, repository, signal)).found;
  return new GithubPackages({ transport, api, registry, repository, credential });
}
