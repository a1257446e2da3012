// The password of a private key: from a file descriptor, from $COSIGN_PASSWORD, or asked for on the terminal.
import { createReadStream } from "node:fs";
import { addAbortSignal } from "node:stream";
import { type Command, InvalidArgumentError } from "commander";
import { fileError, StaveError } from "../../errors.ts";
import { Secret } from "../../printable/secret.ts";
import { readAll } from "../../util/stream.ts";
import type { Context } from "../machine/context.ts";
import { ask } from "../output/confirm.ts";

/** The flag that names where a password comes from. */
export interface PasswordFlags {
  passwordFd?: number;
}

const PASSWORD_LIMIT = 64 * 1024;

/** Adds `--password-fd`. */
export function addPassword(command: Command): Command {
  return command.option(
    "--password-fd <n>",
    "read the password of the private key from this file descriptor (default: $COSIGN_PASSWORD, else ask)",
    (text) => {
      if (/^[0-9]{1,4}$/.test(text)) return Number(text);
      throw new InvalidArgumentError("expected a file descriptor, for example 3.");
    },
  );
}

/** Gets the password of a key. A new one is asked for twice. Throws USAGE if there is no place to get it from. */
export async function keyPassword(
  context: Context,
  { passwordFd }: PasswordFlags,
  { name, isNew = false }: { readonly name: string; readonly isNew?: boolean },
): Promise<Secret> {
  if (passwordFd !== undefined) return new Secret(await readDescriptor(passwordFd, context.signal));
  const given = context.env["COSIGN_PASSWORD"];
  if (given !== undefined) return new Secret(given);
  if (!context.stdin.isTTY)
    throw new StaveError("USAGE", `no terminal to ask for the password of ${name}`, {
      subject: name,
      hint: "set COSIGN_PASSWORD, or name a file descriptor with --password-fd",
    });
  const password = await ask(context, `password of ${name}: `, { hidden: true });
  if (isNew && (await ask(context, "the same once more: ", { hidden: true })) !== password)
    throw new StaveError("USAGE", "the two passwords differ", { hint: "run the same command again" });
  return new Secret(password);
}

async function readDescriptor(fd: number, signal: AbortSignal): Promise<string> {
  try {
    const stream = addAbortSignal(signal, createReadStream("", { fd }));
    return (await readAll(stream, PASSWORD_LIMIT, "the password")).toString("utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw fileError(cause, "read", `file descriptor ${fd}`);
  }
}
