// The logins that podman and stave find without $REGISTRY_AUTH_FILE, as one file: with that variable set, they read no
// other file, and logins of earlier steps (docker/login-action) would be lost.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { command } from "./runner.mjs";

/** More bytes than any such file has. */
const LIMIT = 4 * 1024 * 1024;

/** The files in the order in which they are read: the first that knows a registry counts. */
function places({ HOME: home = "", XDG_RUNTIME_DIR: runtime, XDG_CONFIG_HOME: config, DOCKER_CONFIG: docker }) {
  return [
    runtime ? join(runtime, "containers/auth.json") : `/run/containers/${process.getuid?.() ?? 0}/auth.json`,
    join(config || join(home, ".config"), "containers/auth.json"),
    join(docker || join(home, ".docker"), "config.json"),
  ];
}

/** A file of credentials; undefined if there is none, or none that can be used. */
function read(path) {
  try {
    if (statSync(path).size > LIMIT) throw new Error("it is too large");
    const content = JSON.parse(readFileSync(path, "utf8") || "{}");
    if (typeof content !== "object" || content === null) throw new Error("it is no object");
    return content;
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    // The message of the parser could quote a secret.
    command("warning", `the logins in ${path} are not passed on: the file cannot be read, or is not valid`);
    return undefined;
  }
}

/** The content of all files, as one. */
export function earlierLogins(env) {
  const merged = {};
  for (const { auths, credHelpers, credsStore } of places(env).map(read).filter(Boolean).reverse()) {
    if (auths) merged.auths = { ...merged.auths, ...auths };
    if (credHelpers) merged.credHelpers = { ...merged.credHelpers, ...credHelpers };
    if (credsStore) merged.credsStore = credsStore;
  }
  return merged;
}
