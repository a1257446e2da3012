// Tells whether a script was started or imported, on every Node that can run it.
import { realpathSync } from "node:fs";

const [major = 0] = process.versions.node.split(".").map(Number);

/** True if the module of `meta` is the script that was started; throws if this Node is too old to run it. */
export function isMain({ filename }: ImportMeta): boolean {
  // Not `import.meta.main`, which is undefined before Node 24.2: the script would silently do nothing.
  const [, started] = process.argv;
  if (started === undefined || realpathSync(started) !== filename) return false;
  if (major >= 22) return true;
  throw new Error(
    `this script needs Node 22.22 or later, and this is ${process.versions.node}: put node_modules/.bin first on the PATH`,
  );
}
