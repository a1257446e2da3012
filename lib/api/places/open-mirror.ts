// Opens mirrors: with the login that belongs to the place, and the check of signatures that its configuration asks for.
import { join } from "node:path";
import { netrcLogin } from "../../auth/netrc.ts";
import { GpgCheck, type GpgOptions, GpgSigner, type GpgTrust, LateSigner } from "../../cache/mirror/gpg.ts";
import { MirrorCache } from "../../cache/mirror/mirror-cache.ts";
import type { Signer } from "../../cache/mirror/mirror-layout.ts";
import { isAbsentFile, StaveError } from "../../errors.ts";
import { FolderObjects } from "../../objects/folder-objects.ts";
import type { ReadObjects } from "../../objects/objects.ts";
import { S3Objects } from "../../objects/s3/s3-objects.ts";
import { type WebLogin, WebObjects } from "../../objects/web-objects.ts";
import { Secret } from "../../printable/secret.ts";
import type { Credentials, Direction, Mirror } from "../../spack/config/mirror.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { readBounded } from "../../util/read-file.ts";
import type { SpackFiles } from "../from-spack/spack-files.ts";
import { diskCache } from "../machine/cache-folder.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { bucketPlace } from "./bucket-place.ts";
import type { Connection } from "./connection.ts";
import { formatCache, isMirrorFolder, type MirrorLocation } from "./mirror-location.ts";

/** Whether a push signs; as in Spack, it does unless the mirror is configured with `signed: false`. */
export interface Signing {
  readonly signed?: boolean | undefined;
  readonly unsigned?: boolean | undefined;
  /** The key; default: the only secret key. */
  readonly key?: string | undefined;
  /** There may be nothing to sign, so that a missing key is no error yet. */
  readonly isLate?: boolean | undefined;
}

// True if signatures are asked for by name.
function asksForGpg({ signed, key }: Signing = {}): boolean {
  return signed === true || key !== undefined;
}

/** How to open a mirror. */
export interface OpenMirrorOptions {
  readonly connection: Connection;
  readonly around: Surroundings;
  readonly files: () => SpackFiles;
  readonly direction: Direction;
  /** The mirror of Spack's configuration, if one was named. */
  readonly mirror: Mirror | undefined;
  /** Check signatures if the mirror is meant to have them, as Spack assumes unless `signed: false` is configured. */
  readonly verifies?: boolean | undefined;
  /** Whose signatures the trust policy requires, whatever the mirror's configuration says. */
  readonly trust?: GpgTrust | undefined;
  /** Sign what is pushed. */
  readonly signing?: Signing | undefined;
  /** A folder without a mirror counts as an empty one. */
  readonly mayBeEmpty?: boolean | undefined;
  /** The view of the index to use; default: the configured one. */
  readonly view?: string | undefined;
  /** It is opened to be written: only the newest layout counts. */
  readonly isWritten?: boolean | undefined;
}

/** Maximum number of bytes of a `.netrc` file. */
const NETRC_LIMIT = 1024 * 1024;

/** Opens a mirror. Throws NOT_FOUND if a folder is no mirror. */
export async function openMirror(location: MirrorLocation, options: OpenMirrorOptions): Promise<MirrorCache> {
  const { around, files, mirror, direction, verifies, trust, signing, mayBeEmpty, isWritten } = options;
  if (location.kind === "mirror folder" && mayBeEmpty !== true) checkFolder(location.directory);
  const objects = await objectsOf(location, options);
  options.connection.adopt(objects);
  const isChecked = trust !== undefined || (verifies === true && (mirror?.isSigned ?? true));
  const signatures = isChecked ? new GpgCheck(gpgOf(around, files), trust) : undefined;
  if (signatures !== undefined) options.connection.adopt(signatures);
  return new MirrorCache({
    objects,
    signatures,
    isWritten,
    signer: signing && (await signerFor(signing, options)),
    view: options.view ?? mirror?.view(direction),
    memory: diskCache(around),
  });
}

async function signerFor(signing: Signing, { around, files, mirror }: OpenMirrorOptions): Promise<Signer | undefined> {
  const { unsigned, key } = signing;
  if (unsigned && asksForGpg(signing))
    throw new StaveError("USAGE", "a push is unsigned, or signed by a key, but not both", {
      hint: "leave out `unsigned`, or `key`",
    });
  const isWanted = asksForGpg(signing) || (unsigned !== true && (mirror?.isSigned ?? true));
  const open = (): Promise<Signer> => GpgSigner.open(key, gpgOf(around, files), around.signal);
  if (!isWanted) return undefined;
  return signing.isLate ? new LateSigner(open) : await open();
}

async function objectsOf(
  location: MirrorLocation,
  { connection, around, mirror, direction }: OpenMirrorOptions,
): Promise<ReadObjects> {
  if (location.kind === "mirror folder") return new FolderObjects(location.directory, location.name, around.clock);
  const { transport } = connection;
  if (location.kind === "bucket mirror") {
    const { env, clock } = around;
    const configured = direction === "push" ? mirror?.pushCredentials(env) : mirror?.credentials("fetch", env);
    const place = await bucketPlace(location, configured, around);
    const scratch = env["TMPDIR"] || "/tmp";
    return new S3Objects({ place, name: formatCache(location), transport, clock, scratch });
  }
  const { url, query } = location;
  const login = (await mirrorLogin(location, mirror, direction, around)) ?? (await netrcOf(url, around));
  return new WebObjects({ url, query, transport, login });
}

async function mirrorLogin(
  { login }: Extract<MirrorLocation, { kind: "web mirror" }>,
  mirror: Mirror | undefined,
  direction: Direction,
  { env }: Surroundings,
): Promise<WebLogin | undefined> {
  const configured: Credentials | undefined =
    direction === "push" ? mirror?.pushCredentials(env) : mirror?.credentials("fetch", env);
  const from = `the mirror ${mirror?.name ?? ""}`;
  if (configured?.token) return { header: new Secret(`Bearer ${configured.token.reveal()}`), from };
  if (configured?.pair) return { header: basic(configured.pair.id, configured.pair.secret.reveal()), from };
  return login && { header: basic(login.user, login.password.reveal()), from: "the URL" };
}

async function netrcOf(url: URL, { env, home }: Surroundings): Promise<WebLogin | undefined> {
  const path = env["NETRC"] || join(home, ".netrc");
  try {
    const found = netrcLogin((await readBounded(path, NETRC_LIMIT)).bytes.toString("utf8"), url.hostname);
    return found && { header: basic(found.user, found.password), from: path };
  } catch (error) {
    if (isAbsentFile(error)) return undefined;
    throw error;
  }
}

function basic(user: string, password: string): Secret {
  return new Secret(`Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`);
}

/** gpg as Spack would use it: with the keys of `$SPACK_GNUPGHOME`, otherwise those of the Spack installation. */
export function gpgOf({ env }: Surroundings, files: () => SpackFiles): GpgOptions {
  const named = env["SPACK_GNUPGHOME"];
  if (named) return { home: named, env };
  const root = files().discovery.installation?.root;
  const home = root && join(root, "opt", "spack", "gpg");
  return { home: home && kindAt(home) === "folder" ? home : undefined, env };
}

function checkFolder(directory: string): void {
  if (isMirrorFolder(directory)) return;
  const isThere = kindAt(directory) === "folder";
  throw new StaveError(
    "NOT_FOUND",
    isThere ? `${directory} is no mirror: it has neither v3 nor build_cache` : `there is no directory ${directory}`,
    { subject: directory, hint: "check the path" },
  );
}
