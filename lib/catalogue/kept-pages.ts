// The documents that browsers asked for, ready to send: made and compressed once, then kept up to a number of bytes.
// A server has one thread, so repeated requests must not repeat the work.
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { digestOf } from "../oci/digest.ts";
import { Limit, SingleFlight } from "../util/limit.ts";

/** A document that is to be sent. */
export interface PageText {
  readonly type: "text/html" | "text/css" | "text/javascript" | "application/json" | "image/svg+xml";
  readonly text: string;
  /** The path says what the content is. */
  readonly isFixed: boolean;
}

/** A document ready to send. */
export interface CataloguePage extends Omit<PageText, "text"> {
  readonly bytes: Buffer;
  /** The bytes compressed with gzip; undefined if that is not worth it. */
  readonly packed: Buffer | undefined;
  readonly etag: string;
}

/** How much is kept. */
export interface KeptPagesOptions {
  /** The maximum number of bytes, including compressed ones; default 128 MiB. */
  readonly limit?: number | undefined;
}

/** Maximum number of bytes of documents that are kept. */
const MOST_PAGE_BYTES = 128 * 1024 * 1024;
/** Documents that are made at once. */
const AT_ONCE = 4;
/** Shorter texts are not worth compressing. */
const SMALL = 1000;
const pack = promisify(gzip);

/** Makes documents, and keeps those that were used last. */
export class KeptPages {
  readonly #limit: number;
  readonly #kept = new Map<string, CataloguePage>();
  readonly #making = new SingleFlight<CataloguePage | undefined>();
  readonly #turns = new Limit(AT_ONCE);
  #size = 0;

  constructor({ limit = MOST_PAGE_BYTES }: KeptPagesOptions = {}) {
    this.#limit = limit;
  }

  /** The kept document of a key, or a new one, which is kept unless it alone exceeds the limit. */
  async get(key: string, make: () => Promise<PageText | undefined>): Promise<CataloguePage | undefined> {
    const known = this.#kept.get(key);
    if (known === undefined) return await this.#making.run(key, async () => this.#keep(key, await this.#make(make)));
    this.#kept.delete(key);
    this.#kept.set(key, known);
    return known;
  }

  /** A document that is not kept; concurrent requests with the same key share it. */
  async shared(key: string, make: () => Promise<PageText | undefined>): Promise<CataloguePage | undefined> {
    return await this.#making.run(key, () => this.#make(make));
  }

  async #make(make: () => Promise<PageText | undefined>): Promise<CataloguePage | undefined> {
    return await this.#turns.run(async () => {
      const made = await make();
      if (made === undefined) return undefined;
      const { text, ...rest } = made;
      const bytes = Buffer.from(text);
      const packed = bytes.length > SMALL ? await pack(bytes) : undefined;
      return { ...rest, bytes, packed, etag: `"${digestOf(bytes).slice(-32)}"` };
    });
  }

  #keep(key: string, page: CataloguePage | undefined): CataloguePage | undefined {
    if (page === undefined || sizeOf(page) > this.#limit) return page;
    this.#kept.set(key, page);
    this.#size += sizeOf(page);
    for (const [oldest, old] of this.#kept) {
      if (this.#size <= this.#limit) break;
      this.#kept.delete(oldest);
      this.#size -= sizeOf(old);
    }
    return page;
  }
}

function sizeOf({ bytes, packed }: CataloguePage): number {
  return bytes.length + (packed?.length ?? 0);
}
