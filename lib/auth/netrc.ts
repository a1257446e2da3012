// Logins for web servers in `.netrc` files, as curl reads them.

/** A login of a `.netrc` file. */
export interface NetrcLogin {
  readonly user: string;
  readonly password: string;
}

/** The login for a host, otherwise the default one; undefined if there is none. */
export function netrcLogin(text: string, host: string): NetrcLogin | undefined {
  // A macro ends at an empty line and holds commands, not logins.
  const words = text.replace(/^[ \t]*macdef[^\n]*\n(?:[^\n]+\n)*/gm, "").match(/"(?:\\.|[^"\\])*"|\S+/g) ?? [];
  const value = (at: number): string | undefined => words[at]?.replace(/^"(.*)"$/s, "$1").replace(/\\(.)/gs, "$1");
  let isMine = false;
  let user: string | undefined;
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === "machine" || word === "default") {
      isMine = word === "default" || value(++at)?.toLowerCase() === host.toLowerCase();
      user = undefined;
    } else if (word === "login" || word === "account") {
      const found = value(++at);
      if (word === "login") user = found;
    } else if (word === "password") {
      const password = value(++at);
      if (isMine && password !== undefined) return { user: user ?? "", password };
    }
  }
  return undefined;
}
