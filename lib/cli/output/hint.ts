// Adapts hints to the environment of the command.
import type { StaveError } from "../../errors.ts";
import type { Context } from "../machine/context.ts";
import { folderHint } from "./folder-word.ts";

/** The verbs whose first word may be a cache or a spec. */
const TAKES_CACHE = new Set(["install", "run", "shell", "push"]);

/** The error, with a better hint if the environment explains it. */
export function fittingHint(
  error: StaveError,
  { env, cwd, verb }: Pick<Context, "env" | "cwd"> & { readonly verb: string },
  hubImage?: string,
): StaveError {
  const folder =
    error.code === "SPEC_ABSENT" && TAKES_CACHE.has(verb) ? folderHint(error.subject ?? "", cwd) : undefined;
  if (folder !== undefined) return error.with({ hint: [error.hint ?? [], folder].flat().join("; ") });
  if (hubImage !== undefined && isOfHub(error)) {
    const directory = `${hubImage} was taken for an image of Docker Hub; for a directory write oci-layout:DIR:TAG, or ./${hubImage}`;
    return error.with({ hint: error.hint === undefined ? directory : `${error.hint}; ${directory}` });
  }
  if (error.code !== "DENIED" || env["GITHUB_ACTIONS"] !== "true") return error;
  const own = URL.parse(env["GITHUB_SERVER_URL"] ?? "")?.host ?? "github.com";
  const registries = own === "github.com" ? ["ghcr.io"] : [own];
  if (!registries.some((host) => error.message.includes(host))) return error;
  return error.with({
    hint: "the job's token may not do that: give the job `permissions: packages: write`, and the package this repository's access",
  });
}

// Docker Hub has several hosts, all below this domain.
const isOfHub = ({ message }: StaveError): boolean => message.includes("docker.io");
