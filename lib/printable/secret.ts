// Secrets: a value that prints as `***`, and the list of secrets this process has used, which are masked in all output.
import { inspect } from "node:util";

const MASK = "***";

/** A password or token that prints as `***`; only `reveal()` returns the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    rememberSecret(text);
  }

  /** The text itself; use it only in a header, a signature or the query of a request. */
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

/** Shorter secrets would match parts of ordinary words. */
const SHORTEST = 4;

/** Secrets in all their encodings; beyond the limit the oldest are dropped. */
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

// As is; as bytes decoded from a header; and in JSON, URL, form and base64 encoding.
function spellingsOf(text: string): Set<string> {
  const utf8 = Buffer.from(text, "utf8");
  const form = new URLSearchParams({ "": text }).toString().slice(1);
  // With and without its padding: of what was padded no `=` may stay, and some senders leave it out.
  const padded = utf8.toString("base64");
  const all = [text, utf8.toString("latin1"), encodeURIComponent(text.toWellFormed()), form];
  for (const base64 of [padded, padded.replace(/=+$/, "")]) all.push(base64, encodeURIComponent(base64));
  for (const one of [...all]) all.push(JSON.stringify(one).slice(1, -1), one.replace(/%[0-9A-F]{2}/g, inLowerCase));
  return new Set(all);
}

const inLowerCase = (part: string): string => part.toLowerCase();

/** Credentials and tokens; a process that runs for weeks keeps the newest. */
const credentials = new Recent(2000);
/** Values that signed recently followed URLs; each URL serves one request. */
const signatures = new Recent(64);

/** Adds a secret that was read or received to those that `redact` masks, in every encoding in which it may be sent. */
export function rememberSecret(text: string): void {
  credentials.add(text);
}

/** Adds a user's password, alone and as `USER:PASSWORD` in base64. Returns the value of the Authorization header. */
export function basicAuthorization(username: string, password: string): string {
  const pair = Buffer.from(`${username}:${password}`, "utf8").toString("base64");
  rememberSecret(password);
  rememberSecret(pair);
  rememberSecret(pair.replace(/=+$/, ""));
  return `Basic ${pair}`;
}

/**
 * Adds what signs a URL: query values whose names suggest a signature, token or credential, long names without a value,
 * and the URL's password.
 */
export function rememberSignature(url: URL): void {
  for (const [name, value] of url.searchParams)
    if (value === "" && name.length >= 16) signatures.add(name);
    else if (/sig|token|cred|secret|key|policy|auth|pass|jwt/i.test(name) && value.length >= 8) signatures.add(value);
  if (url.password === "") return;
  rememberSecret(url.password);
  if (isDecodable(url.password)) rememberSecret(decodeURIComponent(url.password));
}

/** True if every `%` in a part of a URL begins an escape of UTF-8. */
export function isDecodable(part: string): boolean {
  try {
    decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}

/** True if a text holds a secret that this process has used. */
export function holdsSecret(text: string): boolean {
  return credentials.isIn(text) || signatures.isIn(text);
}

/** The text with every secret that this process has used replaced by `***`. */
export function redact(text: string): string {
  let out = text;
  // Longest first, so that no part of an overlapping secret remains.
  if (holdsSecret(text))
    for (const secret of [...credentials.spellings, ...signatures.spellings].sort((a, b) => b.length - a.length))
      out = out.replaceAll(secret, MASK);
  return out;
}

/** Masks `user:password@` in anything that looks like a URL. */
export function redactUserInfo(text: string): string {
  return text.replace(/(:\/\/)[^/?#\s]*@/g, `$1${MASK}@`);
}

/** Removes the query values of everything that looks like a URL. */
export function redactQueries(text: string): string {
  return text.replace(/([?&][A-Za-z0-9_.~%+[\]-]{1,100}=)[^&\s"'<>,]+/g, "$1…");
}

/** Masks user info and removes query values of everything that looks like a URL. */
export function redactUrls(text: string): string {
  return redactQueries(redactUserInfo(text));
}
