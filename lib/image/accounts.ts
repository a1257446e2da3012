// The users and groups of an image: whether a user exists, and the files with one more. Pure.
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";

/** The texts of an image's account files; undefined if it has none. */
export interface AccountFiles {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

/** A user to add. */
export interface Account {
  readonly name: string;
  readonly user: number;
  readonly group: number;
}

/** The number of a user that is added without one: the first of ordinary users on most systems. */
const USUAL = 1000;
const LARGEST = 2_097_151;

/** The form of a user to add: `NAME[:UID[:GID]]`. */
export const ACCOUNT: RegExp = /^([a-z_][a-z0-9_-]{0,31})(?::(\d{1,7})(?::(\d{1,7}))?)?$/;

/** Parses a user to add. Throws USAGE. */
export function parseAccount(text: string): Account {
  const [, name, uid, gid] = ACCOUNT.exec(text) ?? [];
  const user = uid === undefined ? USUAL : Number(uid);
  const group = gid === undefined ? user : Number(gid);
  if (name !== undefined && user > 0 && Math.max(user, group) <= LARGEST) return { name, user, group };
  throw new StaveError("USAGE", `the user ${printable(text)} is not valid, expected NAME, NAME:UID or NAME:UID:GID`, {
    hint: "the name has lower-case letters, digits, _ and -; the number is above 0",
  });
}

/** The home of an added user. */
export function homeOf({ name }: Account): string {
  return `/home/${name}`;
}

/**
 * The account files with one more user, and a group for it unless its number is taken. Throws CONFLICT if the name or
 * the number of the user is taken.
 */
export function withAccount(
  files: AccountFiles,
  account: Account,
  shell: string,
): { readonly passwd: string; readonly group: string } {
  const { name, user, group } = account;
  const passwd = files.passwd ?? "root:x:0:0:root:/root:/bin/sh\n";
  const groups = files.group ?? "root:x:0:\n";
  const taken = entriesOf(passwd).find((entry) => entry[0] === name || entry[2] === String(user));
  if (taken !== undefined)
    throw new StaveError(
      "CONFLICT",
      `the user ${name} with number ${user} cannot be added: the base image has ${printable(taken[0] ?? "")} with number ${printable(taken[2] ?? "")}`,
      { subject: name, hint: "choose another name or number, or run as that user with `user`" },
    );
  const line = `${name}:x:${user}:${group}::${homeOf(account)}:${shell}\n`;
  const isNew = entriesOf(groups).every((entry) => entry[2] !== String(group) && entry[0] !== name);
  return { passwd: ended(passwd) + line, group: isNew ? `${ended(groups)}${name}:x:${group}:\n` : groups };
}

/** Checks `USER[:GROUP]`: a number need not have an entry, but a name must. Throws USAGE. */
export function checkUser(text: string, files: AccountFiles): void {
  const [user = "", group] = text.split(":");
  const has = (said: string | undefined, name: string): boolean =>
    /^\d+$/.test(name) || entriesOf(said ?? "").some((entry) => entry[0] === name);
  const unknown = (kind: string, name: string): StaveError =>
    new StaveError("USAGE", `the image has no ${kind} ${printable(name)}`, {
      subject: text,
      hint: "write a number, or add the user with `addUser`",
    });
  if (!has(files.passwd, user)) throw unknown("user", user);
  if (group !== undefined && !has(files.group, group)) throw unknown("group", group);
}

function entriesOf(text: string): string[][] {
  return text.split("\n").flatMap((line) => (line === "" || line.startsWith("#") ? [] : [line.split(":")]));
}

function ended(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}
