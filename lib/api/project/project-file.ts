// Reads `stave.yaml`. The file may come from anyone, with a cloned repository for instance, so it has an effect only
// once the user has accepted its content.
import { join } from "node:path";
import { StaveError } from "../../errors.ts";
import { type Project, parseProject } from "../../spack/config/project-settings.ts";
import { DiskCache } from "../../util/disk-cache.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { xdgFolder } from "../machine/xdg-folder.ts";

/** In bytes. */
const PROJECT_LIMIT = 64 * 1024;

type Content = Pick<Project, "file" | "text">;

/** The accepted project of a file; undefined, without a look at what it says, if it is not accepted. */
export async function acceptedProject(file: string, around: Surroundings): Promise<Project | undefined> {
  const text = (await readBounded(file, PROJECT_LIMIT)).bytes.toString("utf8");
  return isAccepted({ file, text }, around) ? parseProject(text, file) : undefined;
}

/** Reads a file, accepted or not. Throws CONFIG_INVALID, NOT_FOUND, TOO_LARGE. */
export async function readProject(file: string): Promise<Project> {
  return parseProject((await readBounded(file, PROJECT_LIMIT)).bytes.toString("utf8"), file);
}

/** True if the user has accepted exactly this content of the file. */
export function isAccepted(content: Content, around: Surroundings): boolean {
  return acceptances(around).get(KIND, keyOf(content)) !== undefined;
}

/** Remembers that the user accepts the file. Throws FILE_SYSTEM if that is impossible. */
export function acceptProject(content: Content, around: Surroundings): void {
  acceptances(around).set(KIND, keyOf(content), Buffer.from(content.file));
  if (isAccepted(content, around)) return;
  const folder = xdgFolder(around, "XDG_STATE_HOME");
  throw new StaveError("FILE_SYSTEM", `what is accepted cannot be remembered in ${folder}`, {
    subject: folder,
    hint: "set XDG_STATE_HOME to a folder that only you can write",
  });
}

const KIND = "projects";
const keyOf = ({ file, text }: Content): string => JSON.stringify([file, text]);
const acceptances = (around: Surroundings): DiskCache => {
  const { clock, uid: owner } = around;
  return new DiskCache({ folder: join(xdgFolder(around, "XDG_STATE_HOME"), "stave"), clock, owner });
};
