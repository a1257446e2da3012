// Collects the failures of parallel work, so that one cause is reported once, however many items it stops.
import { deepCode, type ErrorCode, isStaveError, StaveError } from "../errors.ts";

/** System errors that concern a whole file system or host. */
const EVERYWHERE = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);
const UNREACHABLE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN", "ENOTFOUND"]);
const FORBIDDEN = new Set(["EACCES", "EPERM"]);

const CAUSE_IN_HINT: ReadonlySet<ErrorCode> = new Set(["RELOCATION_FAILED", "SIGNATURE_INVALID", "SIGNATURE_MISSING"]);

/**
 * How many items may fail in a row because their host does not work, each after all of its retries: more than twice as
 * many as are under way at once, so that one short outage does not count.
 */
const OUTAGES = 64;
/** Errors that say so. */
const GAVE_UP = new WeakSet<StaveError>();

/** True if no connection was made at all, so that another try will hardly help unless the host has answered before. */
export function isUnreachable(error: StaveError): boolean {
  return UNREACHABLE.has(error.system ?? deepCode(error.cause) ?? "");
}

/** True if everything else that uses the same place will fail in the same way. */
export function concernsAll(error: StaveError): boolean {
  if (GAVE_UP.has(error)) return true;
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
      // An unreadable file concerns only itself; an unwritable folder concerns all files in it, and all specs share the
      // locks.
      return (
        EVERYWHERE.has(system) ||
        error.op === "lock" ||
        (FORBIDDEN.has(system) && /^(?:write|make)/.test(error.op ?? ""))
      );
    default:
      return false;
  }
}

/** True if the host, and not the item, seems to be the reason. */
function isOutage({ code, status = 0 }: StaveError): boolean {
  return code === "TIMEOUT" || code === "NETWORK" || (code === "REGISTRY_ERROR" && status >= 500);
}

/** One cause, and how many items it stopped. */
interface Cause {
  readonly error: StaveError;
  /** What it prevented first, and in how many other cases; undefined if it concerns no item. */
  readonly prevented: string | undefined;
  others: number;
}

/** Collects failures: those that follow from another are left out, and those with the same message are one. */
export class Failures {
  readonly #causes = new Map<string, Cause>();
  readonly #derived = new WeakSet<StaveError>();
  /** How many items failed since one succeeded, because their host did not work. */
  #outages = 0;
  #last: StaveError | undefined;

  /** The causes, in order of arrival; only the last one if it ended everything. */
  get causes(): StaveError[] {
    if (this.#last !== undefined) return [this.#last];
    return [...this.#causes.values()].map(({ error, prevented, others }) => {
      if (prevented === undefined) return error;
      const rest = others === 0 ? "" : `, nor ${others === 1 ? "was 1 other" : `were ${others} others`}`;
      return error.with({ message: `${prevented}${rest}: ${error.message}` });
    });
  }

  /** Counts an item that succeeded. */
  succeeded(): void {
    this.#outages = 0;
  }

  /**
   * Counts an item that failed. Returns the error that ends the work on all others if they need not be tried: because
   * of its kind, or because its host has stopped working, so that hundreds of items would each take all of their
   * retries.
   */
  endedBy(error: StaveError): StaveError | undefined {
    if (this.#derived.has(error)) return undefined;
    if (concernsAll(error)) return error;
    if (isOutage(error)) this.#outages++;
    // Any other answer shows that the host works.
    else if (error.status !== undefined) this.#outages = 0;
    if (this.#outages < OUTAGES) return undefined;
    const ending = error.with({
      message: `gave up after ${OUTAGES} failures in a row: ${error.message}`,
      hint: "what is left was not tried; run the same command again when the host works",
    });
    GAVE_UP.add(ending);
    return ending;
  }

  /** The error for an item whose dependency failed. */
  following(name: string, cause: unknown): StaveError {
    const message = `its dependency ${name} failed`;
    const error = isStaveError(cause) ? cause.with({ message }) : new StaveError("INTERNAL", message, { cause });
    this.#derived.add(error);
    return error;
  }

  /**
   * Adds the failure of an item and returns it reworded: `message` says what it prevented. Files that cannot be
   * relocated and signatures that do not count differ, but the same advice stands for the same cause: a root that is
   * too long, a key that is not trusted.
   */
  add(error: StaveError, subject: string, message: string): StaveError {
    if (!this.#derived.has(error)) {
      const reason = CAUSE_IN_HINT.has(error.code) ? (error.hint ?? error.message) : error.message;
      const key = `${error.code} ${reason}`;
      const known = this.#causes.get(key);
      if (known) known.others++;
      else this.#causes.set(key, { error: error.with({ subject }), prevented: message, others: 0 });
    }
    return error.with({ message: `${message}: ${error.message}`, subject });
  }

  /** Adds a failure that is no single item's. */
  note(error: StaveError): void {
    this.#causes.set(`${error.code} ${error.message}`, { error, prevented: undefined, others: 0 });
  }

  /** Adds the failure that ends everything; whatever else failed may be reported when this one is mended. */
  end(error: StaveError): void {
    this.#last ??= error;
  }
}
