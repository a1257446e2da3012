// Secrets: a value that does not print itself, and the list of those that this process has used, which are taken out of every
// text that leaves it.
import { inspect } from "node:util";

const MASK = "***";

/** A password or token; `reveal()` is the one way to its text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    rememberSecret(text);
  }

  /** The text itself, for a header or a signature and nothing else. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/** Shorter ones are parts of ordinary words. */
const SHORTEST = 4;

/** Secrets in all their spellings, of which the oldest go when there are too many. */
class Recent {
  readonly spellings = new Set<string>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(text: string): void {
    if (text.length < SHORTEST) return;
    for (const spelling of spellingsOf(text)) {
      this.spellings.delete(spelling);
      this.spellings.add(spelling);
    }
    for (const oldest of this.spellings) {
      if (this.spellings.size <= this.#most) break;
      this.spellings.delete(oldest);
    }
  }

  isIn(text: string): boolean {
    for (const spelling of this.spellings) if (text.includes(spelling)) return true;
    return false;
  }
}

// As it is, as bytes are read out of a header, as it is written in JSON, in a URL and in a form, and in base64.
function spellingsOf(text: string): Set<string> {
  const utf8 = Buffer.from(text, "utf8");
  const form = new URLSearchParams({ "": text }).toString().slice(1);
  const base64 = utf8.toString("base64").replace(/=+$/, "");
  const all = [text, utf8.toString("latin1"), encodeURIComponent(text.toWellFormed()), form, base64];
  for (const one of [...all]) all.push(JSON.stringify(one).slice(1, -1), one.replace(/%[0-9A-F]{2}/g, inLowerCase));
  return new Set(all);
}

const inLowerCase = (part: string): string => part.toLowerCase();

/** Credentials and tokens; of a process that runs for weeks the newest. */
const credentials = new Recent(2000);
/** What signed the URLs that were followed last: each serves one request. */
const signatures = new Recent(64);

/** Adds a text that was read or received as a secret to what `redact` takes out, in every encoding that it may be sent in. */
export function rememberSecret(text: string): void {
  credentials.add(text);
}

/** Adds a user's password, alone and as HTTP sends it: base64 of `USER:PASSWORD`. Returns that header's value. */
export function basicAuthorization(username: string, password: string): string {
  const pair = Buffer.from(`${username}:${password}`, "utf8").toString("base64");
  rememberSecret(password);
  rememberSecret(pair.replace(/=+$/, ""));
  return `Basic ${pair}`;
}

/** Adds what signs a URL: the values of its query that are named like a signature, token or credential. */
export function rememberSignature(url: URL): void {
  for (const [name, value] of url.searchParams)
    if (/sig|token|cred|secret|key|policy|auth|pass|jwt/i.test(name) && value.length >= 8) signatures.add(value);
  if (url.password !== "") rememberSecret(decodeURIComponent(url.password));
}

/** True if a text holds a secret that this process has used. */
export function holdsSecret(text: string): boolean {
  return credentials.isIn(text) || signatures.isIn(text);
}

/** The text with every secret that this process has used replaced by `***`. */
export function redact(text: string): string {
  let out = text;
  // Of two that overlap the longer one goes first, so that no rest of it stays.
  if (holdsSecret(text))
    for (const secret of [...credentials.spellings, ...signatures.spellings].sort((a, b) => b.length - a.length))
      out = out.replaceAll(secret, MASK);
  return out;
}

/** Removes `user:password@` from anything that looks like a URL, so that it may enter a message. */
export function redactUserInfo(text: string): string {
  return text.replace(/(:\/\/)[^/?#\s]*@/g, `$1${MASK}@`);
}

/** Removes the values of queries from everything in a text that looks like a URL. */
export function redactQueries(text: string): string {
  return text.replace(/([?&][A-Za-z0-9_.~%+[\]-]{1,100}=)[^&\s"'<>,]+/g, "$1…");
}
