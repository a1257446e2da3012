// Runs gpg: verifies and makes clear-signed texts. Keys stay with gpg and its agent.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { messageOf, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { OperationOptions } from "../../target/target.ts";
import type { MirrorKey } from "../cache.ts";
import { isClearSigned, signedText } from "./clear-signed.ts";
import type { SignatureCheck, Signer } from "./mirror-layout.ts";

/** How to run gpg. */
export interface GpgOptions {
  /** The folder of the keys; default: gpg's own. */
  readonly home: string | undefined;
  /** The environment of the process; PATH decides which gpg runs. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The results of a run. */
export interface GpgAnswer {
  readonly exit: number;
  readonly output: Buffer;
  /** What gpg tells programs: a keyword and its arguments each (GnuPG `doc/DETAILS`). */
  readonly status: readonly (readonly string[])[];
  /** What gpg tells people. */
  readonly messages: string;
}

/** More than any key ring that gpg handles. */
const OUTPUT_LIMIT = 64 * 1024 * 1024;
/** Milliseconds; a person may have to type a passphrase. */
const TIMEOUT = 5 * 60_000;

/** Runs gpg with input. Throws HELPER_FAILED if it cannot be run or does not end. */
export async function runGpg(
  args: readonly string[],
  input: Uint8Array,
  { home, env }: GpgOptions,
  signal?: AbortSignal,
): Promise<GpgAnswer> {
  signal?.throwIfAborted();
  const child = spawn("gpg", ["--batch", "--no-tty", "--status-fd", "3", ...args], {
    env: { ...env, LC_ALL: "C", ...(home === undefined ? {} : { GNUPGHOME: home }) },
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  const outputs = [child.stdout, child.stderr, child.stdio[3] as Readable];
  const collected: Buffer[][] = [[], [], []];
  let size = 0;
  let over: StaveError | undefined;
  const end = (reason: StaveError): void => {
    over ??= reason;
    child.kill("SIGKILL");
  };
  outputs.forEach((stream, at) => {
    stream.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > OUTPUT_LIMIT) end(failed("printed too much"));
      else collected[at]?.push(chunk);
    });
    stream.on("error", () => {});
  });
  const stdin: Writable = child.stdin;
  // gpg may end before it has read everything.
  stdin.on("error", () => {});
  stdin.end(input);
  const timer = setTimeout(() => end(failed(`did not end within ${TIMEOUT / 60_000} minutes`)), TIMEOUT);
  const onAbort = (): void => end(new StaveError("ABORTED", "interrupted", { cause: signal?.reason }));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const exit = await new Promise<number>((resolve, reject) => {
      child.once("error", (cause) => {
        const isMissing = "code" in cause && cause.code === "ENOENT";
        reject(failed(isMissing ? "is not on the PATH" : `could not be run: ${messageOf(cause)}`, cause));
      });
      child.once("close", (code) => resolve(code ?? 1));
    });
    if (over) throw over;
    const [output = Buffer.alloc(0), messages = "", told = ""] = collected.map((chunks) => Buffer.concat(chunks));
    const status = told
      .toString("utf8")
      .split("\n")
      .filter((line) => line.startsWith("[GNUPG:] "))
      .map((line) => line.slice("[GNUPG:] ".length).split(" "));
    return { exit, output: Buffer.from(output), status, messages: messages.toString("utf8") };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function failed(what: string, cause?: unknown): StaveError {
  return new StaveError("HELPER_FAILED", `gpg ${what}`, {
    subject: "gpg",
    hint: "install GnuPG 2, or use -u for specs without a checked signature",
    ...(cause === undefined ? {} : { cause }),
  });
}

/** What makes a signature worthless, whatever else gpg says (GnuPG `doc/DETAILS`). */
const FAULTS: Readonly<Record<string, string>> = {
  FAILURE: "cannot be checked",
  UNEXPECTED: "is malformed",
  NODATA: "is malformed",
  ERRSIG: "cannot be checked",
  NO_PUBKEY: "was made with a key that is not trusted here",
  BADSIG: "does not match the text",
  EXPSIG: "has expired",
  EXPKEYSIG: "was made with a key that has expired",
  REVKEYSIG: "was made with a key that was revoked",
};
/** Where VALIDSIG names the primary key, after its keyword (GnuPG `doc/DETAILS`). */
const PRIMARY_KEY = 10;
/** Digest algorithms that can be forged: MD5, SHA-1, RIPEMD-160. */
const WEAK = new Set(["1", "2", "3"]);

/** Whose signatures count. */
export interface GpgTrust {
  /** The fingerprints of primary keys, in upper case. */
  readonly fingerprints: ReadonlySet<string>;
  /** Files with these keys; if there are any, no other keys are used. */
  readonly keyrings: readonly Uint8Array[];
}

/** Checks signatures with the keys of a gpg home, or with those that a policy names. */
export class GpgCheck implements SignatureCheck {
  readonly #options: GpgOptions;
  readonly #trust: GpgTrust | undefined;
  #home: Promise<string> | undefined;

  constructor(options: GpgOptions, trust?: GpgTrust) {
    this.#options = options;
    this.#trust = trust;
  }

  /** Removes the keys of the policy from this machine. */
  async close(): Promise<void> {
    const home = await this.#home?.catch(() => undefined);
    if (home !== undefined) await rm(home, { recursive: true, force: true });
  }

  // Keys of a policy are in a home of their own, so that no other key is believed.
  #gpg(signal: AbortSignal | undefined): Promise<GpgOptions> {
    const { keyrings = [] } = this.#trust ?? {};
    if (keyrings.length === 0) return Promise.resolve(this.#options);
    this.#home ??= this.#newHome(keyrings, signal);
    return this.#home.then((home) => ({ ...this.#options, home }));
  }

  async #newHome(keyrings: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<string> {
    const { env } = this.#options;
    const home = await mkdtemp(join(env["TMPDIR"] || "/tmp", "stave-gpg-"));
    for (const keys of keyrings) {
      const { exit, messages } = await runGpg(["--no-autostart", "--import"], keys, { home, env }, signal);
      if (exit === 0) continue;
      await rm(home, { recursive: true, force: true });
      throw failed(`could not import the keys of the trust policy: ${lastLine(messages)}`);
    }
    return home;
  }

  async verify(bytes: Buffer, subject: string, { signal }: OperationOptions): Promise<string> {
    if (!isClearSigned(bytes))
      throw new StaveError("SIGNATURE_MISSING", `${subject} is not signed`, {
        subject,
        hint: this.#trust
          ? "push it again with a signature: the trust policy requires one"
          : "use -u to take it without a signature, or set `signed: false` for the mirror",
      });
    const text = signedText(bytes, { name: subject });
    const { exit, output, status } = await runGpg(["--decrypt"], bytes, await this.#gpg(signal), signal);
    // The reason that helps most comes last.
    const fault = Object.keys(FAULTS).findLast((word) => status.some(([keyword]) => keyword === word));
    const key = status.find(([keyword]) => keyword === "NO_PUBKEY" || keyword === "ERRSIG")?.[1];
    const valid = status.filter(([keyword]) => keyword === "VALIDSIG");
    const good = status.filter(([keyword]) => keyword === "GOODSIG");
    const isWeak = valid.some((words) => WEAK.has(words[8] ?? ""));
    const isRight = exit === 0 && fault === undefined && valid.length === 1 && good.length === 1 && !isWeak;
    const isSame = output.toString("utf8").replaceAll("\r\n", "\n").trimEnd() === text.trimEnd();
    const signer = valid[0]?.[PRIMARY_KEY] ?? "none";
    if (isRight && isSame && (this.#trust === undefined || this.#trust.fingerprints.has(signer))) return text;
    if (isRight && isSame)
      throw new StaveError("IDENTITY_MISMATCH", `${subject} is signed by the key ${printable(signer)}`, {
        subject,
        hint: "trust that key in the policy, or sign it again with a key that is trusted",
      });
    const why = isWeak ? "uses a digest that can be forged" : (FAULTS[fault ?? ""] ?? "is not good");
    throw new StaveError("SIGNATURE_INVALID", `the signature of ${subject} ${why}`, {
      subject,
      hint:
        fault === "NO_PUBKEY" && key !== undefined
          ? `import the key ${printable(key)} with \`spack gpg trust\`, or use -u`
          : "push the spec again, or use -u to take it without checking",
    });
  }
}

/** Signs with a secret key of a gpg home. */
export class GpgSigner implements Signer {
  readonly fingerprint: string;
  readonly #options: GpgOptions;

  private constructor(fingerprint: string, options: GpgOptions) {
    this.fingerprint = fingerprint;
    this.#options = options;
  }

  /**
   * Chooses the key: the named one, otherwise the only secret key. Throws CREDENTIALS_MISSING if there is none, USAGE
   * if there are several.
   */
  static async open(key: string | undefined, options: GpgOptions, signal?: AbortSignal): Promise<GpgSigner> {
    const args = ["--with-colons", "--list-secret-keys", "--fingerprint", ...(key === undefined ? [] : ["--", key])];
    const { output } = await runGpg(args, Buffer.alloc(0), options, signal);
    const found = secretKeys(output.toString("utf8"));
    const [first] = found;
    const named = key === undefined ? "" : ` named ${printable(key)}`;
    if (first === undefined)
      throw new StaveError("CREDENTIALS_MISSING", `there is no secret key${named} to sign with`, {
        hint: "make one with `spack gpg create`, name one with -k, or push without signatures: -u",
      });
    if (found.length > 1)
      throw new StaveError("USAGE", `there are ${found.length} secret keys${named}: ${found.join(", ")}`, {
        hint: `choose one: -k ${first}`,
      });
    return new GpgSigner(first, options);
  }

  /** Does nothing: the key is there. */
  async prepare(): Promise<void> {}

  async sign(text: string, { signal }: OperationOptions): Promise<Buffer> {
    const args = ["--local-user", this.fingerprint, "--digest-algo", "SHA512", "--armor", "--clearsign"];
    const { exit, output, status, messages } = await runGpg(args, Buffer.from(text), this.#options, signal);
    if (exit === 0 && status.some(([keyword]) => keyword === "SIG_CREATED")) return output;
    throw new StaveError("HELPER_FAILED", `gpg could not sign with ${this.fingerprint}: ${lastLine(messages)}`, {
      subject: this.fingerprint,
      hint: "sign any file by hand with gpg to see why",
    });
  }

  async publicKey({ signal }: OperationOptions): Promise<MirrorKey> {
    const args = ["--armor", "--export", this.fingerprint];
    const { exit, output, messages } = await runGpg(args, Buffer.alloc(0), this.#options, signal);
    if (exit === 0 && output.length > 0) return { fingerprint: this.fingerprint, key: output };
    throw new StaveError("HELPER_FAILED", `gpg could not export ${this.fingerprint}: ${lastLine(messages)}`, {
      subject: this.fingerprint,
    });
  }
}

/**
 * Checks that a key is the one that its fingerprint names, and what it is for people. Throws CONTENT_INVALID.
 */
export async function describeKey(
  { fingerprint, key }: MirrorKey,
  options: GpgOptions,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const { output } = await runGpg(["--with-colons", "--show-keys"], key, options, signal);
  const lines = output
    .toString("utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const primary = lines.filter(([kind]) => kind === "pub").length;
  const found = lines.find(([kind]) => kind === "fpr")?.[9];
  if (primary !== 1 || found !== fingerprint)
    throw new StaveError(
      "CONTENT_INVALID",
      `the key named ${fingerprint} is another one, ${printable(found ?? "none")}`,
      {
        subject: fingerprint,
      },
    );
  return lines.filter(([kind]) => kind === "uid").map((fields) => fields[9] ?? "");
}

/** Imports a key; `isTrusted` also sets ultimate trust, as Spack does. Throws HELPER_FAILED. */
export async function importKey(
  { fingerprint, key }: MirrorKey,
  isTrusted: boolean,
  options: GpgOptions,
  signal?: AbortSignal,
): Promise<void> {
  const steps: [string[], Uint8Array][] = [[["--import"], key]];
  if (isTrusted) steps.push([["--import-ownertrust"], Buffer.from(`${fingerprint}:6:\n`)]);
  for (const [args, input] of steps) {
    const { exit, messages } = await runGpg(args, input, options, signal);
    if (exit !== 0)
      throw new StaveError("HELPER_FAILED", `gpg could not import ${fingerprint}: ${lastLine(messages)}`, {
        subject: fingerprint,
      });
  }
}

/** A key of a gpg home. */
export interface HeldKey {
  readonly fingerprint: string;
  readonly users: readonly string[];
  /** Its secret part is there, too. */
  readonly isSecret: boolean;
}

/** The keys of a gpg home. */
export async function listKeys(options: GpgOptions, signal?: AbortSignal): Promise<readonly HeldKey[]> {
  const keys: HeldKey[] = [];
  const secret = new Set<string>();
  for (const kind of ["--list-secret-keys", "--list-keys"] as const) {
    const { output } = await runGpg(["--with-colons", kind, "--fingerprint"], Buffer.alloc(0), options, signal);
    for (const block of output.toString("utf8").split(/^(?=(?:pub|sec):)/m)) {
      const lines = block.split("\n").map((line) => line.split(":"));
      const fingerprint = lines.find(([word]) => word === "fpr")?.[9];
      if (fingerprint === undefined) continue;
      const users = lines.filter(([word]) => word === "uid").map((fields) => fields[9] ?? "");
      if (kind === "--list-secret-keys") secret.add(fingerprint);
      else keys.push({ fingerprint, users, isSecret: secret.has(fingerprint) });
    }
  }
  return keys;
}

/** The public keys that gpg finds for some names. Throws NOT_FOUND for a name without a key. */
export async function exportKeys(
  names: readonly string[],
  options: GpgOptions,
  signal?: AbortSignal,
): Promise<readonly MirrorKey[]> {
  const held = await listKeys(options, signal);
  const wanted = names.map((name) => {
    const found = held.find(
      ({ fingerprint, users }) =>
        fingerprint.endsWith(name.replace(/^0x/, "").toUpperCase()) || users.some((user) => user.includes(name)),
    );
    if (found !== undefined) return found;
    throw new StaveError("NOT_FOUND", `there is no key ${printable(name)}`, {
      subject: name,
      hint: "`stave gpg list` shows the keys",
    });
  });
  const chosen = names.length > 0 ? wanted : held.filter(({ isSecret }) => isSecret);
  return await Promise.all(
    chosen.map(async ({ fingerprint }) => {
      const { output } = await runGpg(["--armor", "--export", fingerprint], Buffer.alloc(0), options, signal);
      return { fingerprint, key: output };
    }),
  );
}

/** The keys in a file, as a mirror would offer each. Throws CONTENT_INVALID if there is none. */
export async function keysIn(
  key: Buffer,
  name: string,
  options: GpgOptions,
  signal?: AbortSignal,
): Promise<readonly MirrorKey[]> {
  const { output } = await runGpg(["--with-colons", "--show-keys"], key, options, signal);
  const blocks = output.toString("utf8").split(/^(?=pub:)/m);
  const found = blocks.flatMap((block) => /^fpr:(?:[^:]*:){8}([0-9A-F]{40}):/m.exec(block)?.[1] ?? []);
  if (found.length > 0) return found.map((fingerprint) => ({ fingerprint, key }));
  throw new StaveError("CONTENT_INVALID", `${printable(name)} has no public key`, { subject: name });
}

/** Chooses the key when the first text is signed, because a sync may have none to sign. */
export class LateSigner implements Signer {
  readonly #open: () => Promise<Signer>;
  #signer: Promise<Signer> | undefined;

  constructor(open: () => Promise<Signer>) {
    this.#open = open;
  }

  async prepare(): Promise<void> {
    await this.#opened();
  }

  async sign(text: string, options: OperationOptions): Promise<Buffer> {
    return await (await this.#opened()).sign(text, options);
  }

  async publicKey(options: OperationOptions): Promise<MirrorKey | undefined> {
    return this.#signer && (await (await this.#signer).publicKey(options));
  }

  #opened(): Promise<Signer> {
    this.#signer ??= this.#open();
    return this.#signer;
  }
}

// Usable keys only: neither revoked nor expired.
function secretKeys(listing: string): string[] {
  const found: string[] = [];
  let isWanted = false;
  for (const line of listing.split("\n")) {
    const fields = line.split(":");
    if (fields[0] === "sec") isWanted = !/[rei]/.test(fields[1] ?? "");
    else if (fields[0] === "fpr" && isWanted) {
      found.push(fields[9] ?? "");
      isWanted = false;
    }
  }
  return found;
}

function lastLine(messages: string): string {
  return printable(messages.trim().split("\n").at(-1) ?? "", { most: 200 });
}
