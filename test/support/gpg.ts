// gpg homes for tests, with keys made for them.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";

/** The reason to skip tests that need gpg; false if it is there. */
export const noGpg = ((): string | false => {
  try {
    execFileSync("gpg", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "gpg is not on the PATH";
  }
})();

/** A new gpg home. Its path is short, because the agent's socket is in it. */
export function gpgHome(): string {
  const home = mkdtempSync("/tmp/g");
  process.on("exit", () => {
    try {
      execFileSync("gpgconf", ["--homedir", home, "--kill", "all"], { stdio: "ignore" });
    } catch {
      // No agent was started.
    }
    rmSync(home, { recursive: true, force: true });
  });
  return home;
}

/** Runs gpg in a home, and returns what it prints. */
export function gpg(home: string, args: readonly string[], input: string | Buffer = ""): string {
  const all = ["--homedir", home, "--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
  return execFileSync("gpg", [...all, ...args], { input, stdio: ["pipe", "pipe", "ignore"] }).toString("utf8");
}

/** Makes a signing key, and returns its fingerprint. `more` comes before the command. */
export function makeKey(home: string, user: string, expires = "never", more: readonly string[] = []): string {
  gpg(home, [...more, "--quick-generate-key", user, "ed25519", "sign", expires]);
  const listed = gpg(home, ["--with-colons", "--list-secret-keys", user]);
  return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? "";
}
