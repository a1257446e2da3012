// The script `bin/sbang` of a store, which runs scripts whose interpreter path is too long for a first line (Spack
// `hooks/sbang.py` writes such scripts). This one is stave's own, for stores that have none yet.
import { randomUUID } from "node:crypto";
import { chmod, link, lstat, rm, writeFile } from "node:fs/promises";
import { posix } from "node:path";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { sbangPath } from "../image/archive/build-info-writer.ts";
import type { Store } from "../spack/store/store.ts";
import { makeFolder } from "../util/folder.ts";

// The smallest limit of all Linux versions on the first line of a script.
const LONGEST_PATH = 127;

/** The text of the script: POSIX sh. */
export const SBANG_SCRIPT = `#!/bin/sh
# Runs a script whose interpreter has too long a path for a first line. Such a script names this one in its first line:
#     #!/bin/sh /path/to/sbang
# and its own interpreter in the second, after "#!", "//!" or "--!", or as "<?php #!... ?>".
# With SBANG_DEBUG set, the command is shown instead.

fail() {
    echo "sbang: $1" >&2
    exit 1
}

[ -n "\${1-}" ] || fail "no script is named"
[ -f "$1" ] || fail "$1 is no file"

# The last interpreter that the first two lines name.
command=
count=0
while [ "$count" -lt 2 ] && { IFS= read -r line || [ -n "$line" ]; }; do
    count=$((count + 1))
    case $line in
        '#!'*) command=\${line#??} ;;
        '//!'* | '--!'*) command=\${line#???} ;;
        '<?php #!'*)
            command=\${line#'<?php #!'}
            command=\${command%' ?>'}
            ;;
    esac
done < "$1"

# Its words are the program and its arguments; they are not patterns of file names.
set -f
program=
argument=
for word in $command; do
    if [ -z "$program" ]; then
        program=$word
    elif [ -z "$argument" ]; then
        argument=$word
    fi
done
[ -n "$program" ] || fail "$1 names no interpreter"

name=\${program##*/}
# A script with a first line only would run this one for ever.
[ "$name" != sbang ] && [ "\${argument##*/}" != sbang ] || fail "$1 would run sbang again"
[ "$name" = env ] && name=\${argument##*/}
flag=
case $name in
    # These look for a first line with their own name.
    perl | ruby) flag=-x ;;
esac

if [ -n "\${SBANG_DEBUG-}" ]; then
    echo $command $flag "$@"
else
    exec $command $flag "$@"
fi
`;

/**
 * Creates the script unless the store has one. Returns its recorded path. Throws CONFIG_INVALID if the path is too long
 * for a first line, FILE_SYSTEM if it cannot be written.
 */
export async function ensureSbang(store: Pick<Store, "root" | "locate">): Promise<string> {
  const recorded = sbangPath(store.root);
  if (Buffer.byteLength(recorded) > LONGEST_PATH)
    throw new StaveError(
      "CONFIG_INVALID",
      `${recorded} has ${Buffer.byteLength(recorded)} bytes, expected at most ${LONGEST_PATH} in the first line of scripts`,
      { subject: recorded, hint: "choose a shorter config:install_tree:root" },
    );
  const file = store.locate(recorded);
  const temporary = `${posix.dirname(file)}/.sbang.${randomUUID()}.tmp`;
  try {
    if (await isThere(file)) return recorded;
    makeFolder(posix.dirname(file));
    await writeFile(temporary, SBANG_SCRIPT, { flag: "wx" });
    await chmod(temporary, 0o755);
    // A link instead of a rename, so that a script which Spack created first stays.
    await link(temporary, file).catch((error: unknown) => {
      if (systemCode(error) !== "EEXIST") throw error;
    });
    return recorded;
  } catch (cause) {
    throw fileError(cause, "write", file);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

async function isThere(file: string): Promise<boolean> {
  try {
    return (await lstat(file)) !== undefined;
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return false;
    throw cause;
  }
}
