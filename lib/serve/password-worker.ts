// The thread that compares passwords with bcrypt hashes, which is deliberately slow and must not delay anything else.
import { parentPort } from "node:worker_threads";
import { compareSync } from "bcryptjs";
import type { PasswordAnswer, PasswordOrder } from "./password-message.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs as a thread");

port.on("message", ({ id, password, hash }: PasswordOrder) => {
  port.postMessage({ id, isRight: compareSync(password, hash) } satisfies PasswordAnswer);
});
