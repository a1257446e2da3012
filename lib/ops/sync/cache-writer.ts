// What a sync needs of a destination: something that writes specs into it.
import type { CachedSpec } from "../../cache/cache.ts";
import type { OperationOptions } from "../../target/target.ts";

/** What every writer is given. */
export interface WriterOptions extends OperationOptions {
  /**
   * Called with the DAG hash of the spec whose archive is sent, and the number of bytes; a negative count takes back
   * bytes that must be sent again.
   */
  readonly onBytes: (hash: string, count: number) => void;
  /** How many archives to send at once. */
  readonly jobs: number;
}

/** What writing a spec took. */
export interface Written {
  /** The bytes of its archive, if it had to be sent. */
  readonly sent: number;
}

/** Writes specs of one cache to another. */
export interface SpecWriter {
  write(spec: CachedSpec): Promise<Written>;
}
