// Translates library options in hints to flags of the command line. The library writes an option in backquotes, with or
// without a value (`plainHttp`, `only: package`), and a call as `updateIndex("PLACE", { full: true })`.

/** The flag of each option, with a placeholder for its value; some values have a flag of their own. */
const FLAGS: Readonly<Record<string, string>> = {
  addUser: "--add-user NAME",
  all: "--all",
  allFiles: "--all-files",
  allTags: "--all-tags",
  allowMissing: "--allow-missing",
  anyArchitecture: "--otherarch",
  baseImage: "--base-image IMAGE",
  budget: "--budget N",
  "buildDependencies: without": "--without-build-dependencies",
  "checkRun: false": "--no-check-run",
  caFiles: "--cacert FILE",
  certificateIdentity: "--certificate-identity NAME",
  certificateOidcIssuer: "--certificate-oidc-issuer URL",
  clientCertificate: "--cert FILE and --key-file FILE",
  "clientCertificate.certificate": "--cert FILE",
  "clientCertificate.key": "--key-file FILE",
  compression: "--compression HOW",
  connectTimeout: "--connect-timeout SECONDS",
  databaseVersion: "--database-version VERSION",
  "dependencies: false": "--no-dependencies",
  dependents: "--dependents",
  dockerMediaTypes: "--docker-media-types",
  environment: "-e DIR",
  estargz: "--estargz",
  force: "--force",
  format: "--format FORM",
  from: "--from BASE",
  full: "--full",
  image: "--image-config FILE",
  insecureTls: "--insecure-tls",
  jobs: "--jobs N",
  key: "--key KEY",
  "kind: hardlink": "--hardlink",
  listen: "--listen HOST:PORT",
  minRate: "--min-rate BYTES",
  multiple: "--multiple",
  only: "--only WHAT",
  plainHttp: "--plain-http",
  platform: "--platform OS/ARCH",
  shard: "--shard K/N",
  signingConfig: "--signing-config FILE",
  spack: "--spack DIR",
  store: "--store DIR",
  strict: "--strict",
  strip: "--strip",
  tag: "--tag TAG",
  tags: "--tag TAG",
  timeout: "--timeout SECONDS",
  trace: "--trace FILE",
  trustedRoot: "--trusted-root FILE",
  unsigned: "--unsigned",
  user: "--user USER",
  "write: true": "--write",
};

/** The verb of each library function. */
const VERBS: Readonly<Record<string, string>> = { updateIndex: "index" };

const OPTION = /(leave out )?`([a-z][\w.]*)(?:: ([^`]+))?`/gi;
const CALL = /`([a-z]\w*)\("([^"`]*)"(?:, \{ ([^}`]+) \})?\)`/gi;

/** Replaces the options in a hint of the library with flags of the command line. */
export function inFlags(hint: string): string {
  return hint
    .replace(CALL, (text, name: string, place: string, options: string | undefined) => {
      const verb = VERBS[name];
      if (verb === undefined) return text;
      const flags = (options ?? "").split(", ").map((option) => flagOf(...splitOption(option)) ?? "");
      return `\`${["stave", verb, ...flags, place].filter((word) => word !== "").join(" ")}\``;
    })
    .replace(OPTION, (text, leave: string | undefined, name: string, value: string | undefined) => {
      const flag = flagOf(name, value);
      // An omitted option needs no value.
      return flag === undefined ? text : `${leave ?? ""}${leave === undefined ? flag : flag.replace(/ [A-Z/:]+$/, "")}`;
    });
}

function flagOf(name: string, value: string | undefined): string | undefined {
  const exact = FLAGS[`${name}: ${value}`];
  if (exact !== undefined) return exact;
  const [flag, placeholder] = (FLAGS[name] ?? "").split(" ");
  if (flag === undefined || flag === "") return undefined;
  if (value === undefined) return FLAGS[name];
  return placeholder === undefined ? flag : `${flag} ${value}`;
}

function splitOption(text: string): [name: string, value: string | undefined] {
  const [name = "", value] = text.split(": ");
  return [name, value];
}
