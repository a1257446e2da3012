// Collects the failures of parallel work, so that one cause is reported once, however many items it stops.
import { deepCode, isStaveError, StaveError } from "../errors.ts";

/** System errors that concern a whole file system or host. */
const EVERYWHERE = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);
const UNREACHABLE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN", "ENOTFOUND"]);
const FORBIDDEN = new Set(["EACCES", "EPERM"]);

/** True if no connection was made at all, so that another try will hardly help unless the host has answered before. */
export function isUnreachable(error: StaveError): boolean {
  return UNREACHABLE.has(error.system ?? deepCode(error.cause) ?? "");
}

/** True if everything else that uses the same place will fail in the same way. */
export function concernsAll(error: StaveError): boolean {
  const system = error.system ?? deepCode(error.cause) ?? "";
  switch (error.code) {
    case "CREDENTIALS_MISSING":
    case "CREDENTIALS_REJECTED":
    case "DENIED":
    case "HELPER_FAILED":
    case "TLS":
      return true;
    case "NETWORK":
      return isUnreachable(error);
    case "FILE_SYSTEM":
      // An unreadable file concerns only itself; an unwritable folder concerns all files in it.
      return EVERYWHERE.has(system) || (FORBIDDEN.has(system) && /^(?:write|make)/.test(error.op ?? ""));
    default:
      return false;
  }
}

/** Collects failures and leaves out those that follow from another. */
export class Failures {
  /** The causes, in order of arrival. */
  readonly causes: StaveError[] = [];
  readonly #derived = new WeakSet<StaveError>();

  /** The error for an item whose dependency failed. */
  following(name: string, cause: unknown): StaveError {
    const message = `its dependency ${name} failed`;
    const error = isStaveError(cause) ? cause.with({ message }) : new StaveError("INTERNAL", message, { cause });
    this.#derived.add(error);
    return error;
  }

  /** Adds a failure and returns it reworded: `message` says what it prevented. */
  add(error: StaveError, subject: string, message: string): StaveError {
    const reworded = error.with({ message: `${message}: ${error.message}`, subject });
    if (!this.#derived.has(error)) this.causes.push(reworded);
    return reworded;
  }
}
