// What stave finds on this machine and at a cache: configuration, store, credentials, network, the abilities of a
// registry. Each finding says what to do about it.
import { accessSync, constants, statSync } from "node:fs";
import { resolve } from "node:path";
import { authFilePlaces, Keychain } from "../../auth/keychain.ts";
import { messageOf, StaveError } from "../../errors.ts";
import { isLoopback, proxyFor } from "../../http/addresses.ts";
import { formatLocation, type Location } from "../../oci/reference.ts";
import { redactUserInfo } from "../../printable/secret.ts";
import { discoveryReport } from "../../spack/config/discovery-report.ts";
import { type AbilityAnswer, askFirst, askReading, askWriting } from "../../target/registry/question.ts";
import { Repository } from "../../target/registry/repository.ts";
import { isVisible, kindAt } from "../../util/inspect-path.ts";
import { koffi } from "../../util/koffi.ts";
import { SpackFiles, type SpackFlags } from "../from-spack/spack-files.ts";
import { cacheFolder } from "../machine/cache-folder.ts";
import { ownStore } from "../machine/own-store.ts";
import { VERSION } from "../machine/stave-version.ts";
import { NO_HOME, type Surroundings } from "../machine/surroundings.ts";
import { isXdgSet } from "../machine/xdg-folder.ts";
import type { Connection } from "../places/connection.ts";
import { keychainOptions, type NetworkOptions } from "../places/connection.ts";
import { acceptedProject } from "../project/project-file.ts";
import { PROJECT_FILE, projectFile } from "../project/project-place.ts";
import { policyPath, type TrustOptions } from "../signers/trust.ts";

/** One thing that was found. */
export interface Finding {
  readonly topic: "program" | "configuration" | "store" | "credentials" | "network" | "registry";
  readonly name: string;
  /** `problem` keeps something from working; `note` is worth knowing. */
  readonly level: "ok" | "note" | "problem";
  readonly text: string;
  /** What to type or to change. */
  readonly hint?: string | undefined;
}

/** The settings that are examined. */
export interface DiagnoseOptions extends SpackFlags, TrustOptions, Pick<NetworkOptions, "authfile"> {}

/** Milliseconds for all questions that read, and for all that write. */
const LONGEST_QUESTIONS = 15_000;
/** More than this difference between two clocks makes tokens and signatures fail, in milliseconds. */
const MOST_SKEW = 60_000;

/** Examines this machine; asks nothing on the network. */
export async function diagnoseMachine(around: Surroundings, options: DiagnoseOptions): Promise<Finding[]> {
  return [
    ...programFindings(around),
    ...(await spackFindings(around, options)),
    ...(await projectFindings(around)),
    ...trustFindings(around, options),
  ];
}

// What stave.yaml says has no effect until it is accepted, and is not shown before.
async function projectFindings(around: Surroundings): Promise<Finding[]> {
  const file = projectFile(around);
  if (file === undefined) {
    const here = resolve(around.cwd, PROJECT_FILE);
    if (!isVisible(here)) return [ok("configuration", PROJECT_FILE, "none")];
    const text = `${here} is not used, because others may change it or its folder`;
    return [note("configuration", PROJECT_FILE, text, "make both your own, and writable for you alone")];
  }
  try {
    const project = await acceptedProject(file, around);
    if (project === undefined) {
      const text = `${file} is not used, because you have not accepted it`;
      return [note("configuration", PROJECT_FILE, text, "`stave init` in its folder shows and accepts it")];
    }
    const { cache = "not named", store = "not named" } = project;
    return [ok("configuration", PROJECT_FILE, `${file}: cache ${cache}, store ${store}`)];
  } catch (error) {
    return [problem("configuration", PROJECT_FILE, error, "correct the file, then accept it with `stave init`")];
  }
}

function programFindings(around: Surroundings): Finding[] {
  const { node } = process.versions;
  const findings: Finding[] = [
    ok("program", "stave", `${VERSION}, Node ${node}, ${process.platform} on ${process.arch}`),
    tried("program", "file locks", "make sure that no Spack is running, and set config:locks to false", () => {
      if (process.platform !== "linux")
        throw new Error(`not supported on ${process.platform}: nothing can be installed`);
      koffi();
      return "Spack's file locks are supported";
    }),
  ];
  if (around.home === NO_HOME && !around.env["HOME"] && !isXdgSet(around, "XDG_CACHE_HOME")) {
    const text = "none, because HOME is not set: nothing is kept between runs, and no login of yours is found";
    return [...findings, note("program", "cache folder", text, "set HOME, or XDG_CACHE_HOME for the cache alone")];
  }
  const folder = cacheFolder(around);
  const existing = nearest(folder);
  findings.push(
    tried("program", "cache folder", "set XDG_CACHE_HOME to a folder that can be written", () => {
      if (!statSync(existing).isDirectory()) throw new Error(`${existing} is not a folder`);
      accessSync(existing, constants.W_OK | constants.X_OK);
      return folder;
    }),
  );
  return findings;
}

async function spackFindings(around: Surroundings, options: DiagnoseOptions): Promise<Finding[]> {
  let files: SpackFiles;
  try {
    files = new SpackFiles(around, options);
  } catch (error) {
    return [problem("configuration", "Spack", error, "correct the file, or `stave config`")];
  }
  const { spack, environment, mirrors, scopes, store } = discoveryReport(files.discovery);
  const findings: Finding[] = [
    spack === null
      ? note("configuration", "Spack", "none found; stave works without", "set SPACK_ROOT, or name one with `spack`")
      : ok("configuration", "Spack", `${spack.root}, version ${spack.version}`),
    environment === null
      ? ok("configuration", "environment", "none")
      : ok("configuration", "environment", `${environment.name}: ${environment.folder}`),
    mirrors.length === 0
      ? ok("configuration", "mirrors", "none")
      : ok("configuration", "mirrors", mirrors.map(({ name }) => name).join(", ")),
  ];
  const read = scopes.flatMap((scope) => scope.files);
  if (read.length > 0) findings.push(ok("configuration", "files", [...new Set(read)].join(", ")));
  findings.push(
    ...(store === null
      ? [note("store", "store", "none is configured", "name one with `store`")]
      : await storeFindings("store", files)),
  );
  const own = isXdgSet(around, "XDG_DATA_HOME") || around.env["HOME"] ? ownStore(around) : undefined;
  if (own !== undefined && own !== store?.root && kindAt(own) === "folder")
    findings.push(...(await storeFindings("store of run", new SpackFiles(around, { ...options, store: own }))));
  return findings;
}

async function storeFindings(name: string, files: SpackFiles): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    const opened = await files.store();
    const count = [...opened.records()].filter(({ installed }) => installed).length;
    findings.push(ok("store", name, `${opened.root}: ${count} specs`));
    findings.push(
      tried("store", "write access", `check who owns ${opened.root}; reading works`, () => {
        accessSync(opened.root, constants.W_OK);
        return "specs can be installed";
      }),
    );
  } catch (error) {
    const isAbsent = error instanceof StaveError && error.code === "NOT_FOUND";
    findings.push(
      isAbsent
        ? note("store", name, `${messageOf(error)}`, "the first `stave install` makes it")
        : problem("store", name, error, "`stave verify` says more"),
    );
  }
  return findings;
}

function trustFindings(around: Surroundings, options: TrustOptions): Finding[] {
  return [
    tried("configuration", "trust policy", "correct or unset STAVE_TRUST", () => {
      return policyPath(around, options) ?? "none: signatures are checked only with a key";
    }),
  ];
}

/** What a cache needs to be examined. */
export interface DiagnosePlace {
  readonly location: Location;
  readonly connection: Connection;
  readonly options: DiagnoseOptions & Pick<NetworkOptions, "proxy">;
  /** Ask also what can only be found out by writing. */
  readonly write: boolean;
}

/** Examines a registry or a directory: how it is reached, and what it can do. Never throws but when aborted. */
export async function diagnosePlace(around: Surroundings, place: DiagnosePlace): Promise<Finding[]> {
  const { location, connection } = place;
  const { signal } = around;
  if (location.kind === "layout") {
    try {
      const target = await connection.read(location);
      const tags = await Array.fromAsync(target.tags({ signal }));
      return [ok("registry", "directory", `${formatLocation(location)}: ${tags.length} tags`)];
    } catch (error) {
      signal?.throwIfAborted();
      return [problem("registry", "directory", error, "`stave push` makes it")];
    }
  }
  const { reference, scheme } = location;
  const { registry, repository } = reference;
  const findings = await credentialFindings(around, place, reference);
  const { transport, authorizer } = connection;
  const asked = new Repository({ transport, authorizer, clock: around.clock, registry, repository, scheme });
  const within = (): AbortSignal =>
    AbortSignal.any([AbortSignal.timeout(LONGEST_QUESTIONS), ...(signal === undefined ? [] : [signal])]);
  try {
    findings.push(...networkFindings(around, await asked.base(within())));
    const first = await askFirst(asked, { signal: within(), now: () => around.clock.now() });
    if (!first.isRegistry)
      return [
        ...findings,
        {
          ...{ topic: "registry", name: "address", level: "problem" },
          text: `${first.url} answers ${first.status}, but not as a registry does`,
          hint: "check the host and the port; a proxy or a login page may answer in its place",
        },
      ];
    findings.push(ok("registry", "address", `${first.url} answers ${first.status} in ${first.took} ms`));
    findings.push(skewFinding(first.skew));
    findings.push(...(await askReading(asked, { signal: within() })).map(abilityFinding));
    if (!place.write) {
      const text = "single POST, chunked upload, mount, delete and If-Match";
      findings.push(note("registry", "not asked", text, "`write: true` asks, and removes what it wrote"));
      return findings;
    }
    const { answers, left } = await askWriting(asked, { signal: within() });
    findings.push(...answers.map(abilityFinding));
    for (const name of left)
      findings.push({
        ...{ topic: "registry", name: "left behind", level: "problem", text: name },
        hint: `remove it in the registry's own way; \`stave delete ${name}\` was refused`,
      });
  } catch (error) {
    signal?.throwIfAborted();
    const isLate = error instanceof Error && error.name === "TimeoutError";
    const text = isLate ? `no answer within ${LONGEST_QUESTIONS / 1000} s` : error;
    findings.push(problem("registry", "address", text, "check the host and the proxy; `trace` shows each request"));
  }
  return findings;
}

async function credentialFindings(
  around: Surroundings,
  { options }: DiagnosePlace,
  { registry, repository }: { readonly registry: string; readonly repository: string },
): Promise<Finding[]> {
  const warnings: Finding[] = [];
  const settings = keychainOptions(around, options);
  const keychain = new Keychain({
    ...settings,
    onWarning: (error) => warnings.push(problem("credentials", "source", error, "correct or remove it")),
  });
  const { found, looked } = await keychain.resolve(registry, repository, around.signal);
  const finding =
    found === undefined
      ? note("credentials", registry, `none found in ${looked.join(", ")}`, `stave login ${registry}`)
      : ok("credentials", registry, `found in ${found.from}`);
  const others = authFilePlaces(settings).filter((path) => isOpen(path));
  for (const path of others)
    warnings.push({
      ...{ topic: "credentials", name: "permissions", level: "note" },
      text: `other users can read ${path}`,
      hint: `chmod 600 ${path}`,
    });
  return [...warnings, finding];
}

function networkFindings({ env, cwd }: Surroundings, base: URL): Finding[] {
  const of = (name: string): string | undefined => env[name] || env[name.toUpperCase()] || undefined;
  const all = of("all_proxy");
  const settings = { http: of("http_proxy") ?? all, https: of("https_proxy") ?? all, noProxy: of("no_proxy") };
  const proxy = proxyFor(base, settings);
  const named = [env["SSL_CERT_FILE"], env["NODE_EXTRA_CA_CERTS"]].flatMap((file) =>
    file ? [resolve(cwd, file)] : [],
  );
  const files = [...new Set(named)];
  return [
    ok("network", "proxy", proxy === undefined ? "none for this host" : redactUserInfo(proxy)),
    ...(base.protocol === "http:" && !isLoopback(base.hostname)
      ? [note("network", "TLS", "plain http: everybody on the way can read and change what is sent")]
      : []),
    ...files.map((file) =>
      tried("network", "authorities", "unset the variable, or name a file that is there", () => {
        accessSync(file, constants.R_OK);
        return file;
      }),
    ),
  ];
}

function skewFinding(skew: number | undefined): Finding {
  if (skew === undefined) return note("network", "clock", "the registry sent no date to compare with");
  const seconds = Math.round(Math.abs(skew) / 1000);
  if (Math.abs(skew) <= MOST_SKEW) return ok("network", "clock", `agrees with the registry's within ${seconds + 1} s`);
  return {
    ...{ topic: "network", name: "clock", level: "problem" },
    text: `this machine is ${seconds} s ${skew > 0 ? "behind" : "ahead of"} the registry: tokens and signatures may be refused`,
    hint: "set the clock, for example with `timedatectl set-ntp true`",
  };
}

/** What it means for stave that a registry can do something, or cannot. */
const MEANING: Readonly<
  Record<AbilityAnswer["ability"], { readonly yes: string; readonly no: string; readonly hint?: string }>
> = {
  tags: { yes: "listed", no: "not listed", hint: "`stave push` makes the repository" },
  catalog: { yes: "`stave ls HOST` lists the repositories", no: "repositories are not listed" },
  referrers: { yes: "signatures are found by the API", no: "signatures are found by tags instead" },
  "If-Match": {
    yes: "a tag is written only if it has not changed meanwhile",
    no: "writers of an index look again after writing",
  },
  "rate limit": { yes: "requests are limited", no: "no limit is announced" },
  "single POST": { yes: "small layers take one request", no: "every layer takes two requests or more" },
  "chunked upload": { yes: "broken uploads go on", no: "broken uploads start again" },
  mount: { yes: "layers that the registry has are not sent again", no: "layers are sent to each repository" },
  delete: {
    yes: "`stave prune` works",
    no: "`stave prune` and `stave delete` cannot remove anything",
    hint: "the registry's own tool",
  },
};

function abilityFinding({ ability, can, says, isRefused }: AbilityAnswer): Finding {
  const { yes, no, hint } = MEANING[ability];
  const base = { topic: "registry", name: ability } as const;
  if (can === undefined)
    return {
      ...{ ...base, level: "note", text: `unknown: ${says}` },
      ...(isRefused && { hint: "log in with an account that may do that" }),
    };
  const level = can || ability === "catalog" || ability === "rate limit" ? "ok" : "note";
  return { ...base, level, text: `${can ? yes : no} (${says})`, ...(!can && hint !== undefined && { hint }) };
}

const ok = (topic: Finding["topic"], name: string, text: string): Finding => ({ topic, name, level: "ok", text });

const note = (topic: Finding["topic"], name: string, text: string, hint?: string): Finding => ({
  ...{ topic, name, level: "note", text },
  ...(hint !== undefined && { hint }),
});

/** A failure, with its own hint if it has one. */
function problem(topic: Finding["topic"], name: string, error: unknown, hint: string): Finding {
  const own = error instanceof StaveError ? error.hint : undefined;
  return { topic, name, level: "problem", text: messageOf(error), hint: own ?? hint };
}

function tried(topic: Finding["topic"], name: string, hint: string, work: () => string): Finding {
  try {
    return ok(topic, name, work());
  } catch (error) {
    return problem(topic, name, error, hint);
  }
}

/** The nearest path above a path that exists. */
function nearest(path: string): string {
  for (let at = path; ; at = resolve(at, "..")) {
    try {
      statSync(at);
      return at;
    } catch {
      if (at === resolve(at, "..")) return at;
    }
  }
}

function isOpen(path: string): boolean {
  try {
    return (statSync(path).mode & 0o077) !== 0;
  } catch {
    return false;
  }
}
