// Files that decide what is trusted must not be for everyone to change.
import { stat } from "node:fs/promises";
import { fileError, isAbsentFile, StaveError } from "../../errors.ts";

/** The permission of all other users to write. */
const OTHERS_WRITE = 0o002;

/**
 * Throws CONFIG_INVALID for a file that every user of the machine may change, by the file that a link leads to;
 * FILE_SYSTEM. Whether it exists is for its reader to say.
 */
export async function refuseOpenToAll(path: string): Promise<void> {
  // Windows has no such permissions; Node reports what can be written as open to all.
  if (process.platform === "win32") return;
  const { mode } = await stat(path).catch((cause: unknown) => {
    const error = fileError(cause, "look at", path);
    if (isAbsentFile(error)) return { mode: 0 };
    throw error;
  });
  if ((mode & OTHERS_WRITE) === 0) return;
  throw new StaveError(
    "CONFIG_INVALID",
    `${path} decides what is trusted, and every user of this machine may change it`,
    {
      subject: path,
      hint: `look at what it says, then \`chmod o-w ${path}\``,
    },
  );
}
