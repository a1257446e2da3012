// Reads `stave.yaml`, which has an effect only once the user has accepted its content.
import { type Project, parseProject } from "../../spack/config/project-settings.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { isAccepted, readProjectText } from "./project-acceptance.ts";

/** The accepted project of a file; undefined, without a look at what it says, if it is not accepted. */
export async function acceptedProject(file: string, around: Surroundings): Promise<Project | undefined> {
  const text = await readProjectText(file);
  return isAccepted({ file, text }, around) ? parseProject(text, file) : undefined;
}

/** Reads a file, accepted or not. Throws CONFIG_INVALID, NOT_FOUND, TOO_LARGE. */
export async function readProject(file: string): Promise<Project> {
  return parseProject(await readProjectText(file), file);
}
