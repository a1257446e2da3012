// The error class of stave, its stable codes and their exit statuses. Printing is up to the command line: everything
// below it throws a StaveError, and only the outermost layer prints it.

/** The codes by family; each family shares an exit status. Codes are API: added, never renamed. */
const FAMILIES = {
  2: ["USAGE", "CONFIG_INVALID", "REFERENCE_INVALID"],
  3: ["CREDENTIALS_MISSING", "CREDENTIALS_REJECTED", "DENIED", "HELPER_FAILED"],
  4: ["NETWORK", "TIMEOUT", "TLS", "RATE_LIMITED", "REGISTRY_ERROR", "UPLOAD_LOST"],
  5: ["NOT_FOUND", "DIGEST_MISMATCH", "SIZE_MISMATCH", "MEDIA_TYPE", "TOO_LARGE", "ARCHIVE_UNSAFE", "CONTENT_INVALID"],
  6: ["CONFLICT", "UNSUPPORTED"],
  7: [
    "SPEC_INVALID",
    "SPEC_NOT_INSTALLED",
    "SPEC_ABSENT",
    "PLATFORM_MISMATCH",
    "LIBC_TOO_OLD",
    "WILL_NOT_START",
    "RELOCATION_FAILED",
    "BUDGET_EXCEEDED",
  ],
  8: ["SIGNATURE_MISSING", "SIGNATURE_INVALID", "IDENTITY_MISMATCH", "REVOKED", "INDEX_OUTDATED"],
  9: ["PARTIAL"],
  10: ["FILE_SYSTEM"],
  70: ["INTERNAL"],
  130: ["ABORTED"],
} as const;

/** A stable error code. */
export type ErrorCode = (typeof FAMILIES)[keyof typeof FAMILIES][number];

const EXIT_OF = new Map<ErrorCode, number>(
  Object.entries(FAMILIES).flatMap(([exit, codes]) => codes.map((code): [ErrorCode, number] => [code, Number(exit)])),
);

/** Every code, in the order of exit statuses. */
export const ERROR_CODES: readonly ErrorCode[] = [...EXIT_OF.keys()];

/** Which end of a transfer failed. */
export type Side = "source" | "destination";

/** One entry of a registry's own error list (OCI distribution 1.1, "Error Codes"), kept as it was received. */
export interface RegistryErrorEntry {
  code: string;
  message?: string;
  detail?: unknown;
}

/** Everything a StaveError may carry besides its code and message. */
export interface StaveErrorOptions {
  /** The operation in progress, for example `fetch blob`. */
  op?: string;
  side?: Side;
  /** The thing that failed: a digest, a reference, a path. */
  subject?: string;
  /** The HTTP status of the last response. */
  status?: number;
  /** The operating system's error code, for example `ENOSPC`. */
  system?: string;
  /** The registry's own error list, verbatim. */
  registry?: RegistryErrorEntry[];
  /** The number of attempts. */
  attempts?: number;
  /** The next step: one command or one setting. */
  hint?: string;
  /** The failures that a PARTIAL error summarises. */
  errors?: StaveError[];
  cause?: unknown;
}

/** A StaveError as plain data. */
export type PlainError = Omit<StaveErrorOptions, "cause" | "errors"> & {
  code: ErrorCode;
  message: string;
  errors?: PlainError[];
};

/**
 * The error of every operation: one lower-case sentence, a stable code and, if there is one, a hint. The code that
 * constructs it must redact secrets and query strings.
 */
export class StaveError extends Error {
  override readonly name = "StaveError";
  readonly code: ErrorCode;
  readonly op: string | undefined;
  readonly side: Side | undefined;
  readonly subject: string | undefined;
  readonly status: number | undefined;
  readonly system: string | undefined;
  readonly registry: RegistryErrorEntry[] | undefined;
  readonly attempts: number | undefined;
  readonly hint: string | undefined;
  readonly errors: StaveError[] | undefined;

  constructor(code: ErrorCode, message: string, options: StaveErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.op = options.op;
    this.side = options.side;
    this.subject = options.subject;
    this.status = options.status;
    this.system = options.system;
    this.registry = options.registry;
    this.attempts = options.attempts;
    this.hint = options.hint;
    this.errors = options.errors;
  }

  /** The exit status of this error's family. */
  get exitCode(): number {
    return EXIT_OF.get(this.code) ?? 70;
  }

  /**
   * Returns a copy with changed fields; the others stay. If the code or message changes, the copy has this error as
   * its cause, unless another cause is given.
   */
  with(changes: StaveErrorOptions & { code?: ErrorCode; message?: string }): StaveError {
    const { code = this.code, message = this.message, ...options } = changes;
    const isReworded = code !== this.code || message !== this.message;
    const cause = isReworded ? this : this.cause;
    const next = new StaveError(code, message, {
      ...this.#details(),
      ...(cause === undefined ? {} : { cause }),
      ...options,
    });
    if (!isReworded && this.stack !== undefined) next.stack = this.stack;
    return next;
  }

  /** The fields for `--json`, traces and other threads; `StaveError.from` reads them. The cause is left out. */
  toJSON(): PlainError {
    const { code, message, errors } = this;
    const { errors: _, ...details } = this.#details();
    return { code, message, ...details, ...(errors && { errors: errors.map((error) => error.toJSON()) }) };
  }

  /** Creates an error from its fields. */
  static from({ code, message, errors, ...details }: PlainError): StaveError {
    return new StaveError(code, message, {
      ...details,
      ...(errors && { errors: errors.map((error) => StaveError.from(error)) }),
    });
  }

  // Every defined field except code, message and cause. The only list of them besides the constructor.
  #details(): Omit<StaveErrorOptions, "cause"> {
    const { op, side, subject, status, system, registry, attempts, hint, errors } = this;
    const all = { op, side, subject, status, system, registry, attempts, hint, errors };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }
}

/** True if a caught value is a StaveError and, if codes are given, has one of them. */
export function isStaveError(value: unknown, ...codes: ErrorCode[]): value is StaveError {
  return value instanceof StaveError && (codes.length === 0 || codes.includes(value.code));
}

/** The system's error code (`ENOENT`, `ECONNRESET`, …) of a caught value, or undefined. */
export function systemCode(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !("code" in value)) return undefined;
  return typeof value.code === "string" ? value.code : undefined;
}

/** The system's error code of an error or of its causes. */
export function deepCode(value: unknown): string | undefined {
  for (let at: unknown = value, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = systemCode(at);
    if (code !== undefined && code !== "UND_ERR_SOCKET") return code;
    if (at instanceof AggregateError && at.errors.length > 0) return deepCode(at.errors[0]);
  }
  return systemCode(value);
}

/** The error that ended some work. `await using` hides it in a SuppressedError if something then fails to close. */
export function originalError(caught: unknown): unknown {
  let error = caught;
  while (error instanceof Error && error.name === "SuppressedError" && "suppressed" in error) error = error.suppressed;
  return error;
}

/** The message of anything that was thrown. */
export function messageOf(value: unknown): string {
  return value instanceof Error ? value.message : String(value);
}

const FILE_HINTS: Record<string, string> = {
  ENOENT: "check the path",
  EACCES: "check the permissions, or choose a folder that you may write",
  EPERM: "check the permissions, or choose a folder that you may write",
  EROFS: "the file system is read-only; choose another folder",
  ENOSPC: "the disk is full; free some space and run the same command again",
  EDQUOT: "the quota is used up; free some space and run the same command again",
  ENOTDIR: "a part of the path is a file; choose a folder",
  EISDIR: "the path is a folder; name a file",
  EMFILE: "too many open files; raise `ulimit -n` or lower `jobs`",
};

const READ_HINT = "check the permissions of it, and of the folders above it";
const READS = new Set(["read", "read folder", "look at", "open"]);

/** Converts a file system error to a StaveError that names the path; a StaveError passes through. */
export function fileError(cause: unknown, op: string, path: string): StaveError {
  if (cause instanceof StaveError) return cause;
  const code = systemCode(cause);
  const mayNot = code === "EACCES" || code === "EPERM";
  const hint = mayNot && READS.has(op) ? READ_HINT : FILE_HINTS[code ?? ""];
  // A path through a descriptor means nothing to the user.
  const why = messageOf(cause).replace(/, \w+ '\/proc\/self\/fd\/.*$/s, "");
  return new StaveError(code === "ENOENT" ? "NOT_FOUND" : "FILE_SYSTEM", `cannot ${op} ${path}: ${why}`, {
    op,
    subject: path,
    cause,
    ...(code === undefined ? {} : { system: code }),
    ...(hint === undefined ? {} : { hint }),
  });
}

/** True if a file could not be read because nothing is there, or because a part of its path is no folder. */
export function isAbsentFile(error: unknown): error is StaveError {
  return isStaveError(error) && (error.code === "NOT_FOUND" || error.system === "ENOTDIR");
}

/** The sum of several failures: PARTIAL with all of them, or the single one as it is. */
export function aggregate(errors: StaveError[], what: string): StaveError {
  const [first] = errors;
  if (errors.length === 1 && first !== undefined) return first;
  return new StaveError("PARTIAL", `${errors.length} ${what} failed`, { errors });
}
