// Lists the configuration scopes in order: Spack's `config.py` for 0.x, for 1.0, and for 1.1 and later. Their content
// is read on demand and merged in config.ts.
import { basename, join, relative, resolve } from "node:path";
import { redactUserInfo } from "../../printable/secret.ts";
import { configError, type Place, wholeFile } from "../text/yaml.ts";
import { type IncludeEntry, includesOf } from "./include.ts";
import { expandUser } from "./machine.ts";
import { fileSections, folderSections, pathKind, type SectionSource, textSections } from "./scope-file.ts";
import type { ScopeStyle } from "./spack-installation.ts";
import { canonicalPath, type Substitutions, schemeOf } from "./substitute.ts";
import { decide } from "./when-condition.ts";

/** One configuration scope. */
export interface Scope {
  /** Its name in Spack: `user`, `defaults:base`, `env:NAME`, … */
  readonly name: string;
  readonly kind: "builtin" | "folder" | "file" | "environment" | "settings";
  /** The folder or file; undefined for scopes without one. */
  readonly path: string | undefined;
  /** True if it is one of Spack's own, which an environment's `include::` does not hide. */
  readonly isDefault: boolean;
  readonly content: SectionSource;
  /** The scopes it includes; the first has the highest precedence. */
  readonly includes: readonly Scope[];
}

/** An ignored part of the configuration and the reason; `place` is its position. */
export interface ConfigNote {
  readonly place: Place;
  readonly text: string;
}

/** An environment whose manifest is a scope. */
export interface EnvironmentScope {
  /** Its name, or its folder if it has none. */
  readonly name: string;
  /** The path of `spack.yaml`. */
  readonly manifest: string;
}

/** A scope given on the command line with `-C`. */
export type CustomScope = { readonly folder: string } | { readonly environment: EnvironmentScope };

/** The deepest nesting of includes, as in Spack. The total is limited too, because nested includes can multiply. */
const DEPTH_LIMIT = 100;
const SCOPE_LIMIT = 1000;

/** Collects scopes in order of precedence, lowest first. */
export class ScopeStack {
  readonly notes: ConfigNote[] = [];
  readonly #style: ScopeStyle;
  readonly #context: Substitutions;
  #scopes: Scope[] = [];
  #made = 0;

  constructor(style: ScopeStyle, context: Substitutions) {
    this.#style = style;
    this.#context = context;
  }

  /** The active scopes, lowest first. An `include::` hides those below it, except Spack's own defaults. */
  get active(): readonly Scope[] {
    const at = this.#scopes.findLastIndex((scope) => scope.content.section("include")?.joining === "override");
    const hiding = this.#scopes[at];
    if (this.#style !== "nested" || !hiding) return this.#scopes;
    const kept = withIncludes(hiding, new Set());
    return this.#scopes.filter((scope, index) => index >= at || scope.isDefault || kept.has(scope));
  }

  /** Adds the scopes of Spack's defaults, the installation, site, system and user. */
  addStandard(builtin: string): void {
    const { host, installation } = this.#context;
    this.#push(
      { name: "_builtin", kind: "builtin", path: undefined, content: textSections(builtin, "built-in") },
      true,
    );
    const etc = installation && join(installation.root, "etc", "spack");
    if (etc !== undefined) this.#addFolder("defaults", join(etc, "defaults"), true);
    if (etc !== undefined && this.#style === "nested") {
      this.#addFolder("spack", etc);
      return;
    }
    const isLocal = !Object.hasOwn(host.env, "SPACK_DISABLE_LOCAL_CONFIG");
    const local = (variable: string, otherwise: string) =>
      resolve(host.cwd, expandUser(host.env[variable] || otherwise, host));
    if (isLocal) this.#addFolder("system", local("SPACK_SYSTEM_CONFIG_PATH", "/etc/spack"));
    if (etc !== undefined) this.#addFolder("site", etc);
    if (isLocal) this.#addFolder("user", local("SPACK_USER_CONFIG_PATH", "~/.spack"));
  }

  /** Adds the active environment. */
  addEnvironment(environment: EnvironmentScope): void {
    this.#addManifest(`env:${environment.name}`, environment.manifest);
  }

  /** Adds the scopes of `-C`; later ones rank higher. */
  addCustom(scopes: readonly CustomScope[]): void {
    for (const [at, scope] of scopes.entries()) {
      const name = `cmd_scope_${at}`;
      if ("folder" in scope) this.#addFolder(name, scope.folder);
      else this.#addManifest(`${name}:env:${scope.environment.name}`, scope.environment.manifest);
    }
  }

  /** Adds command-line settings, above everything else. */
  addSettings(content: SectionSource): void {
    this.#push({ name: "command_line", kind: "settings", path: undefined, content });
  }

  #addFolder(name: string, path: string, isDefault = false): void {
    this.#push({ name, kind: "folder", path, content: folderSections(path) }, isDefault);
    if (this.#style !== "platform") return;
    const { platform } = this.#context.host;
    const sub = join(path, platform);
    this.#push({ name: `${name}/${platform}`, kind: "folder", path: sub, content: folderSections(sub) }, isDefault);
  }

  #addManifest(name: string, path: string): void {
    this.#push({ name, kind: "environment", path, content: fileSections(path, "spack", "env") });
  }

  // Included scopes rank below the scope that includes them; the first is the highest.
  #push(bare: BareScope, isDefault = false): void {
    this.#place(this.#withIncludes(bare, isDefault, []));
  }

  #place(scope: Scope): void {
    for (const included of scope.includes.toReversed()) this.#place(included);
    this.#scopes = [...this.#scopes.filter(({ name }) => name !== scope.name), scope];
  }

  #withIncludes(bare: BareScope, isDefault: boolean, trail: readonly string[]): Scope {
    const place = wholeFile(bare.path ?? bare.name);
    if (++this.#made > SCOPE_LIMIT) throw configError(place, `includes lead to more than ${SCOPE_LIMIT} scopes`);
    if (trail.length > DEPTH_LIMIT)
      throw configError(place, `includes are nested more than ${DEPTH_LIMIT} levels deep`);
    const inner = bare.path === undefined ? trail : [...trail, bare.path];
    const includes: Scope[] = [];
    // Before 1.0, only an environment could include.
    const entries = this.#style === "platform" && bare.kind !== "environment" ? [] : includesOf(bare.content);
    for (const entry of entries) {
      const included = this.#included(entry, bare, inner);
      if (!included) continue;
      if (includes.some(({ name }) => name === included.name))
        this.notes.push({ place: entry.place, text: `the scope ${included.name} is included twice; the first counts` });
      else includes.push(this.#withIncludes(included, isDefault, inner));
    }
    return { ...bare, isDefault, includes };
  }

  #included(entry: IncludeEntry, parent: BareScope, trail: readonly string[]): BareScope | undefined {
    const { host } = this.#context;
    if (entry.when !== undefined) {
      const decision = decide(entry.when, host);
      if ("undecided" in decision) {
        const text = `the include is ignored: cannot decide \`${entry.when}\`: ${decision.undecided}`;
        this.notes.push({ place: entry.place, text });
        return undefined;
      }
      if (!decision.holds) return undefined;
    }
    if (entry.git !== undefined) {
      this.notes.push({
        place: entry.place,
        text: `the include is ignored: it is in the git repository ${redactUserInfo(entry.git)}`,
      });
      return undefined;
    }
    const override = entry.variable === undefined ? undefined : host.env[entry.variable] || undefined;
    const path = canonicalPath(override ?? entry.path, entry.place, this.#context);
    if (schemeOf(path) !== undefined) {
      this.notes.push({ place: entry.place, text: `the include is ignored: it is the URL ${redactUserInfo(path)}` });
      return undefined;
    }
    if (trail.includes(path))
      throw configError(entry.place, `the include of ${path} leads back to itself: ${trail.join(" includes ")}`);
    const found = pathKind(path);
    if (found === undefined && !entry.isOptional)
      throw configError(
        entry.place,
        `the included ${path} does not exist, expected a file or folder`,
        "correct the path, or mark it `optional: true`",
      );
    const isFile = found === "file" || (found === undefined && /\.ya?ml$/.test(path));
    const name = entry.name ?? `${parent.name}:${this.#shortName(path, parent.path, isFile)}`;
    return isFile
      ? { name, kind: "file", path, content: fileSections(path) }
      : { name, kind: "folder", path, content: folderSections(path) };
  }

  #shortName(path: string, parent: string | undefined, isFile: boolean): string {
    if (this.#style !== "nested") return isFile ? path : basename(path);
    return parent !== undefined && path.startsWith(parent) ? relative(parent, path) : path;
  }
}

type BareScope = Omit<Scope, "isDefault" | "includes">;

function withIncludes(scope: Scope, into: Set<Scope>): Set<Scope> {
  into.add(scope);
  for (const included of scope.includes) withIncludes(included, into);
  return into;
}
