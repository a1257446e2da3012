// The command that runs an image that was just pushed.

import { findProgram } from "../../api/machine/programs.ts";
import { archiveName } from "../../api/places/image-places.ts";
import { isLoopback } from "../../http/addresses.ts";
import { formatLocation, formatReference, type Location } from "../../oci/reference.ts";
import type { Context } from "../machine/context.ts";
import { shellWord } from "./typeable.ts";

/**
 * The shell command that runs the image of a tag with podman, or with docker if only that is on the PATH. Neither runs
 * an image of a directory, so that one is loaded first.
 */
export function runLine(place: Location, tag: string, context: Pick<Context, "env">): string {
  const hasOnlyDocker = findProgram("podman", context) === undefined && findProgram("docker", context) !== undefined;
  const run = `${hasOnlyDocker ? "docker" : "podman"} run --rm -it`;
  if (place.kind === "layout")
    return `stave export ${shellWord(formatLocation({ ...place, tag }))} --load && ${run} ${archiveName(place, tag)}`;
  // stave falls back to http on this machine, as docker does.
  const isPlain =
    (place.scheme === "http" || isLoopback(URL.parse(`http://${place.reference.registry}`)?.hostname ?? "")) &&
    !hasOnlyDocker;
  return `${run} ${isPlain ? "--tls-verify=false " : ""}${formatReference({ ...place.reference, tag })}`;
}
