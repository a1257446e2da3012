// docker-credential-* programs: run without a shell, with a time-out and bounded output.
import { spawn } from "node:child_process";
import { z } from "zod";
import { messageOf, StaveError } from "../errors.ts";
import { parseBySchema } from "../oci/manifest.ts";
import { passwordCredential } from "./auth-file.ts";
import type { Credential } from "./credential.ts";

/** How helpers are run. */
export interface HelperOptions {
  /** The environment of the process; PATH decides which helper runs. */
  env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds; default 30 000. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
}

const OUTPUT_LIMIT = 1024 * 1024;
const DEFAULT_TIMEOUT = 30_000;
const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const answerSchema = z.looseObject({ Username: z.string(), Secret: z.string() });

/** Asks a helper for the credentials of a server; undefined when it has none. Throws HELPER_FAILED. */
export async function askHelper(
  helper: string,
  server: string,
  options: HelperOptions,
): Promise<Credential | undefined> {
  const { status, output } = await run(helper, "get", server, options);
  if (status !== 0) {
    // The protocol's only way to say "none" is this text.
    if (/credentials not found|no credentials|not found in native keychain/i.test(output)) return undefined;
    throw failed(helper, `ended with status ${status}`);
  }
  let answer: z.infer<typeof answerSchema>;
  try {
    answer = parseBySchema(output, answerSchema, `answer of docker-credential-${helper}`);
  } catch {
    // What it printed may be the secret itself, so nothing of it is quoted.
    throw failed(helper, "printed something that is not the credentials document");
  }
  return answer.Secret === "" ? undefined : passwordCredential(answer.Username, answer.Secret);
}

/** Stores credentials through a helper. Throws HELPER_FAILED. */
export async function storeWithHelper(
  helper: string,
  server: string,
  username: string,
  secret: string,
  options: HelperOptions,
): Promise<void> {
  const text = JSON.stringify({ ServerURL: server, Username: username, Secret: secret });
  const { status } = await run(helper, "store", text, options);
  if (status !== 0) throw failed(helper, `could not store the credentials (status ${status})`);
}

/** Makes a helper forget a server; one it never knew is no failure. Throws HELPER_FAILED. */
export async function eraseWithHelper(helper: string, server: string, options: HelperOptions): Promise<void> {
  const { status, output } = await run(helper, "erase", server, options);
  if (status !== 0 && !/not found/i.test(output))
    throw failed(helper, `could not erase the credentials (status ${status})`);
}

function failed(helper: string, what: string, cause?: unknown): StaveError {
  return new StaveError("HELPER_FAILED", `the credential helper docker-credential-${helper} ${what}`, {
    subject: helper,
    hint: "try it by hand, or take it out of credHelpers/credsStore",
    ...(cause === undefined ? {} : { cause }),
  });
}

function run(
  helper: string,
  verb: string,
  input: string,
  options: HelperOptions,
): Promise<{ status: number; output: string }> {
  if (!NAME.test(helper))
    return Promise.reject(
      new StaveError("CONFIG_INVALID", `${JSON.stringify(helper.slice(0, 80))} is not the name of a credential helper`),
    );
  const { env, timeout = DEFAULT_TIMEOUT, signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(`docker-credential-${helper}`, [verb], {
      env: { ...env },
      stdio: ["pipe", "pipe", "ignore"],
      detached: true,
    });
    let output = "";
    let over: StaveError | undefined;
    // A helper is often a script; its children must go with it.
    const end = (reason: StaveError) => {
      over ??= reason;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // Gone already.
      }
      // A program that it started, and that has left its group, may keep the pipe open for ever.
      child.stdout.destroy();
    };
    const timer = setTimeout(
      () => end(failed(helper, `did not answer within ${Math.round(timeout / 1000)} s`)),
      timeout,
    );
    const onAbort = () => end(new StaveError("ABORTED", "interrupted", { cause: signal?.reason }));
    signal?.addEventListener("abort", onAbort, { once: true });
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    child.on("error", (cause) => {
      done();
      const missing = "code" in cause && cause.code === "ENOENT";
      reject(failed(helper, missing ? "is not on the PATH" : `could not be run (${messageOf(cause)})`, cause));
    });
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (chunk: string) => {
      output += chunk;
      if (output.length > OUTPUT_LIMIT) end(failed(helper, "printed too much"));
    });
    child.on("close", (status) => {
      done();
      if (over) reject(over);
      else resolve({ status: status ?? 1, output });
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}
