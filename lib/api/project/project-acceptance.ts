// Remembers which texts of `stave.yaml` the user has accepted: the file may come from anyone, with a cloned repository
// for instance. Apart from its reader, because a text that was accepted need not be read again to start a program.
import { join } from "node:path";
import { StaveError } from "../../errors.ts";
import type { Project } from "../../spack/config/project-settings.ts";
import { DiskCache } from "../../util/disk-cache.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { xdgFolder } from "../machine/xdg-folder.ts";

/** In bytes. */
const PROJECT_LIMIT = 64 * 1024;

type Content = Pick<Project, "file" | "text">;

/** The text of a file. Throws NOT_FOUND, TOO_LARGE, FILE_SYSTEM. */
export async function readProjectText(file: string): Promise<string> {
  return (await readBounded(file, PROJECT_LIMIT)).bytes.toString("utf8");
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
  throw new StaveError("FILE_SYSTEM", `cannot remember in ${folder} that stave.yaml was accepted`, {
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
