// The failures of work on many things side by side: one cause is told once, however many things it stops.
import { deepCode, isStaveError, StaveError } from "../errors.ts";

/** The system says these of a file system or of a host as a whole. */
const EVERYWHERE = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);
const UNREACHABLE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN", "ENOTFOUND"]);
const FORBIDDEN = new Set(["EACCES", "EPERM"]);

/** True if everything else that goes to, or comes from, the same place will fail likewise. */
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
      return UNREACHABLE.has(system);
    case "FILE_SYSTEM":
      // A file that may not be read is a matter of its own; a folder that may not be written to is not.
      return EVERYWHERE.has(system) || (FORBIDDEN.has(system) && /^(?:write|make)/.test(error.op ?? ""));
    default:
      return false;
  }
}

/** Gathers failures; those that follow from another are left out. */
export class Failures {
  /** The causes, in the order in which they came. */
  readonly causes: StaveError[] = [];
  readonly #derived = new WeakSet<StaveError>();

  /** The error of something that needs what has failed. */
  following(name: string, cause: unknown): StaveError {
    const message = `its dependency ${name} failed`;
    const error = isStaveError(cause) ? cause.with({ message }) : new StaveError("INTERNAL", message, { cause });
    this.#derived.add(error);
    return error;
  }

  /** Adds a failure, and returns how it reads: `message` says what could not be done because of it. */
  add(error: StaveError, subject: string, message: string): StaveError {
    const reworded = error.with({ message: `${message}: ${error.message}`, subject });
    if (!this.#derived.has(error)) this.causes.push(reworded);
    return reworded;
  }
}
