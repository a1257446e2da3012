// Runs docker-credential-* programs: without a shell, with a timeout and bounded output.
import { spawn } from "node:child_process";
import * as z from "zod";
import { messageOf, StaveError } from "../errors.ts";
import { parseBySchema } from "../oci/manifest.ts";
import { passwordCredential } from "./auth-file.ts";
import type { Credential } from "./credential.ts";

/** How to run helpers. */
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

/** Asks a helper for the credentials of a server; undefined if it has none. Throws HELPER_FAILED. */
export async function askHelper(
  helper: string,
  server: string,
  options: HelperOptions,
): Promise<Credential | undefined> {
  const { status, output } = await run(helper, "get", server, options);
  if (status !== 0) {
    // The protocol has no other way to say "none".
    if (/credentials not found|no credentials|not found in native keychain/i.test(output)) return undefined;
    throw failed(helper, `exited with status ${status}`);
  }
  let answer: z.infer<typeof answerSchema>;
  try {
    answer = parseBySchema(output, answerSchema, `answer of docker-credential-${helper}`);
  } catch {
    // The output may contain the secret, so the message quotes none of it.
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

/** Erases a server from a helper; one it never knew is not a failure. Throws HELPER_FAILED. */
export async function eraseWithHelper(helper: string, server: string, options: HelperOptions): Promise<void> {
  const { status, output } = await run(helper, "erase", server, options);
  if (status !== 0 && !/not found/i.test(output))
    throw failed(helper, `could not erase the credentials (status ${status})`);
}

function failed(helper: string, what: string, cause?: unknown): StaveError {
  return new StaveError("HELPER_FAILED", `the credential helper docker-credential-${helper} ${what}`, {
    subject: helper,
    hint: "run it by hand to see why, or remove it from credHelpers/credsStore",
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
    // A helper is often a script; kill its children too.
    const end = (reason: StaveError) => {
      over ??= reason;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has already exited.
      }
      // A child that has left the process group could keep the pipe open forever.
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
