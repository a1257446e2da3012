// Authenticates users: an htpasswd file, as docker's registry reads it (bcrypt), and Basic authentication.
import { createHmac, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { StaveError } from "../errors.ts";
import { SingleFlight } from "../util/limit.ts";
import { Passwords } from "./passwords.ts";
import { Refusal } from "./refusal.ts";

const FILE_LIMIT = 1024 * 1024;
/** Results of bcrypt are cached, because bcrypt is deliberately slow: this many right and as many wrong passwords. */
const REMEMBERED = 10_000;
/** The highest cost of a hash: each step doubles the time of a check, and 16 takes seconds. */
const MAX_COST = 16;
// A hash of an unknown password, so that an unknown name takes as long as a wrong password.
const DECOY = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8i5LqN8FfPpn1dJrPeYb1Y1yWfK8wS";

/** The users of a server. */
export class Users {
  readonly #hashes: ReadonlyMap<string, string>;
  // The key makes the cache useless outside this process.
  readonly #key = randomBytes(32);
  readonly #right = new Set<string>();
  readonly #wrong = new Set<string>();
  readonly #checks = new SingleFlight<boolean>();
  readonly #passwords = new Passwords();

  /** Parses an htpasswd text. Throws CONFIG_INVALID, naming the line, for a hash that is not bcrypt. */
  constructor(htpasswd: string, subject: string) {
    if (htpasswd.length > FILE_LIMIT)
      throw new StaveError("CONFIG_INVALID", `${subject} is too large for an htpasswd file`, { subject });
    const hashes = new Map<string, string>();
    for (const [at, raw] of htpasswd.split("\n").entries()) {
      const line = raw.trim();
      if (line === "" || line.startsWith("#")) continue;
      const colon = line.indexOf(":");
      const hash = line.slice(colon + 1);
      if (colon <= 0 || !/^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$/.test(hash))
        throw new StaveError("CONFIG_INVALID", `${subject} line ${at + 1} is not USER:BCRYPT-HASH`, {
          subject,
          hint: "make entries with: htpasswd -nB USER",
        });
      if (Number(hash.slice(4, 6)) > MAX_COST)
        throw new StaveError("CONFIG_INVALID", `${subject} line ${at + 1} has a hash of cost ${hash.slice(4, 6)}`, {
          subject,
          hint: `choose a cost of at most ${MAX_COST}: htpasswd -nB -C 12 USER`,
        });
      hashes.set(line.slice(0, colon), hash);
    }
    this.#hashes = hashes;
  }

  /** Returns the name of the user who sent a request, or refuses it with the challenge. */
  async check(request: IncomingMessage): Promise<string> {
    const found = /^basic ([A-Za-z0-9+/=]{1,4096})$/i.exec(request.headers.authorization ?? "");
    const text = Buffer.from(found?.[1] ?? "", "base64").toString("utf8");
    const colon = text.indexOf(":");
    const name = text.slice(0, Math.max(0, colon));
    const address = request.socket.remoteAddress ?? "";
    if (colon > 0 && (await this.#isRight(name, text.slice(colon + 1), address))) return name;
    throw new Refusal("UNAUTHORIZED", "a user name and password are needed", {
      headers: { "www-authenticate": 'Basic realm="stave", charset="UTF-8"' },
    });
  }

  async #isRight(name: string, password: string, address: string): Promise<boolean> {
    const hash = this.#hashes.get(name);
    const key = createHmac("sha256", this.#key).update(`${name}\0${password}`).digest("base64");
    if (this.#right.has(key)) return true;
    if (this.#wrong.has(key)) return false;
    return await this.#checks.run(key, async () => {
      const fits = await this.#passwords.compare(`${address} ${name}`, password, hash ?? DECOY);
      const isRight = fits && hash !== undefined;
      remember(isRight ? this.#right : this.#wrong, key);
      return isRight;
    });
  }

  /** Ends the checks in progress. */
  async close(): Promise<void> {
    await this.#passwords.close();
  }
}

/** Adds to a bounded set, dropping the oldest entry. */
function remember(memory: Set<string>, key: string): void {
  const [oldest] = memory;
  if (memory.size >= REMEMBERED && oldest !== undefined) memory.delete(oldest);
  memory.add(key);
}
