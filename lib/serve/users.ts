// Who may come in: an htpasswd file, as docker's registry reads it (bcrypt), and Basic authentication.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { compare } from "bcryptjs";
import { StaveError } from "../errors.ts";
import { Refusal } from "./answer.ts";

const FILE_LIMIT = 1024 * 1024;
/** Passwords found right are remembered by their hash, because bcrypt is slow on purpose; so many of them. */
const REMEMBERED = 1000;
// A hash nobody has the password of, so that an unknown name takes as long as a wrong password.
const NOBODY = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8i5LqN8FfPpn1dJrPeYb1Y1yWfK8wS";

/** The users of a server. */
export class Users {
  readonly #hashes: ReadonlyMap<string, string>;
  readonly #right = new Set<string>();

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
      hashes.set(line.slice(0, colon), hash);
    }
    this.#hashes = hashes;
  }

  /** Lets a request pass, or refuses it with the challenge. */
  async check(request: IncomingMessage): Promise<void> {
    const found = /^basic ([A-Za-z0-9+/=]{1,4096})$/i.exec(request.headers.authorization ?? "");
    const text = Buffer.from(found?.[1] ?? "", "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon > 0 && (await this.#isRight(text.slice(0, colon), text.slice(colon + 1)))) return;
    throw new Refusal("UNAUTHORIZED", "a user name and password are needed", {
      headers: { "www-authenticate": 'Basic realm="stave", charset="UTF-8"' },
    });
  }

  async #isRight(name: string, password: string): Promise<boolean> {
    const hash = this.#hashes.get(name);
    const key = createHash("sha256").update(`${name}\0${password}\0${hash}`).digest("base64");
    if (this.#right.has(key)) return true;
    const isRight = await compare(password, hash ?? NOBODY);
    if (hash === undefined || !isRight) return false;
    if (this.#right.size >= REMEMBERED) this.#right.clear();
    this.#right.add(key);
    return true;
  }
}
