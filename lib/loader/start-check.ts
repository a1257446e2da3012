// Checks whether the programs of an image will start: loads each as its dynamic loader would, without running anything.
import type { ByteString } from "../util/byte-string.ts";
import type { ElfFacts } from "./elf-facts.ts";
import type { CheckedCounts, Finding, LibcReport } from "./finding.ts";
import { Findings } from "./findings.ts";
import { GlibcLoader, type LoaderSettings } from "./glibc-loader.ts";
import { highestGlibc } from "./glibc-version.ts";
import { ImageTree, type TreeFile } from "./image-tree.ts";
import type { LayerFacts } from "./layer-facts.ts";
import type { DynamicLoader, Loading } from "./loaded.ts";
import { isMuslName, MuslLoader } from "./musl-loader.ts";
import { type ImagePart, Packages } from "./packages.ts";
import { readScript } from "./script-line.ts";

/** An image to check: its layers from the bottom up, and their descriptions. */
export interface StartCheckInput {
  readonly layers: readonly LayerFacts[];
  readonly parts: readonly ImagePart[];
  /** The `Env` of the image. */
  readonly env: readonly string[];
  /** The Go architecture of the image. */
  readonly architecture: string;
  readonly settings?: Pick<LoaderSettings, "level"> | undefined;
}

/** The result of a check. */
export interface StartCheck {
  readonly findings: readonly Finding[];
  readonly checked: CheckedCounts;
  /** The C library; undefined if the image has none. */
  readonly libc: LibcReport | undefined;
  /** What the image calls itself, for example `Debian GNU/Linux 12 (bookworm)`. */
  readonly system: string | undefined;
}

/** Folders whose programs are for people; elsewhere files of other machines and scripts are data. */
const PROGRAM_FOLDER = /\/(?:bin|sbin|libexec)\//;
/** Libraries that come from the machine's drivers when a container starts. */
const FROM_DRIVERS =
  /^lib(?:cuda|nvidia-.*|nvcuvid|GL|GLX|EGL|OpenGL|GLdispatch|GLESv[12].*|cudadebugger|nvoptix|amdhip64|hsa-runtime64|ze_loader|OpenCL)\.so(?:\.\d+)*$/;
const DEBUG_FILE = /\.debug$|\/\.debug\/|\/lib\/debug\//;

// The e_machine of each Go architecture.
const MACHINES: Readonly<Record<string, number>> = {
  "386": 3,
  amd64: 62,
  arm: 40,
  arm64: 183,
  ppc64le: 21,
  riscv64: 243,
  s390x: 22,
};

/** Checks an image. Pure: the same layers give the same findings. */
export function checkStart(input: StartCheckInput): StartCheck {
  return new StartChecker(input).run();
}

interface ElfFile {
  readonly file: TreeFile;
  readonly facts: ElfFacts;
}

class StartChecker {
  readonly #input: StartCheckInput;
  readonly #tree: ImageTree;
  readonly #packages: Packages;
  readonly #findings: Findings;
  readonly #loaders = new Map<ByteString, DynamicLoader | undefined>();
  readonly #variables: ReadonlyMap<string, string>;
  /** Where libraries of each name or SONAME lie, in the image's specs and in the base. */
  readonly #providers = new Map<ByteString, TreeFile[]>();
  readonly #reached = new Set<ByteString>();

  constructor(input: StartCheckInput) {
    this.#input = input;
    this.#tree = new ImageTree(input.layers);
    this.#packages = new Packages(input.parts);
    this.#findings = new Findings(this.#tree, this.#packages);
    this.#variables = new Map(
      input.env.map((text): [string, string] => {
        const [name = ""] = text.split("=", 1);
        return [name, text.slice(name.length + 1)];
      }),
    );
  }

  run(): StartCheck {
    const programs: ElfFile[] = [];
    const libraries: ElfFile[] = [];
    const scripts: TreeFile[] = [];
    const files = [...this.#tree.files()].sort((a, b) => (a.path < b.path ? -1 : 1));
    const machine = MACHINES[this.#input.architecture];
    for (const file of files) {
      const { elf, script, isExecutable } = file.entry;
      if (elf) this.#addProviders(file, elf);
      if (this.#packages.isInBase(file)) continue;
      if (script !== undefined && PROGRAM_FOLDER.test(file.path)) scripts.push(file);
      if (elf === undefined || DEBUG_FILE.test(file.path)) continue;
      const isForeign = machine !== undefined && elf.machine !== machine;
      if (isForeign && elf.interpreter !== undefined && isExecutable && PROGRAM_FOLDER.test(file.path))
        this.#findings.foreign(file, this.#input.architecture);
      if (isForeign) continue;
      if (elf.interpreter !== undefined && isExecutable) programs.push({ file, facts: elf });
      else if (elf.interpreter === undefined && !elf.isFixed) libraries.push({ file, facts: elf });
    }
    for (const name of this.#tree.links()) this.#addLink(name);
    for (const program of programs) this.#checkProgram(program);
    const fallback = [...this.#loaders.values()].find((loader) => loader !== undefined) ?? this.#anyLoader();
    for (const library of libraries) if (fallback) this.#checkLibrary(library, fallback);
    for (const script of scripts) this.#checkScript(script);
    return {
      findings: this.#findings.all(),
      checked: {
        programs: programs.length,
        libraries: libraries.length,
        scripts: scripts.length,
        unread: this.#tree.unread,
      },
      libc: this.#libc(fallback),
      system: this.#system(),
    };
  }

  #addProviders(file: TreeFile, { soname, interpreter }: ElfFacts): void {
    if (interpreter !== undefined && soname === undefined) return;
    const names = new Set([file.path.slice(file.path.lastIndexOf("/") + 1), ...(soname === undefined ? [] : [soname])]);
    for (const name of names) this.#addProvider(name, file);
  }

  #addLink(path: ByteString): void {
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (!name.includes(".so")) return;
    const file = this.#tree.find(path);
    if (file?.entry.elf) this.#addProvider(name, file);
  }

  #addProvider(name: ByteString, file: TreeFile): void {
    const there = this.#providers.get(name);
    if (there === undefined) this.#providers.set(name, [file]);
    else if (!there.some(({ path }) => path === file.path)) there.push(file);
  }

  // The files that have a library's name and could be loaded beside an object.
  #providersOf(name: ByteString, { machine, bits }: ElfFacts): TreeFile[] {
    const all = this.#providers.get(name.slice(name.lastIndexOf("/") + 1)) ?? [];
    return all.filter(({ entry: { elf } }) => elf?.machine === machine && elf.bits === bits);
  }

  #checkProgram({ file, facts }: ElfFile): void {
    const interpreter = facts.interpreter ?? "";
    const loader = this.#loader(interpreter);
    if (loader === undefined) {
      this.#findings.noInterpreter(file, interpreter, this.#libc(this.#anyLoader()));
      return;
    }
    const loading = loader.load(file, facts);
    for (const object of loading.objects) this.#reached.add(object.file.path);
    this.#report(loading, "error");
    this.#reportBase(loading, loader);
  }

  // A library that no program starts with: a plugin, a module of an interpreter, or one that nothing uses.
  #checkLibrary({ file, facts }: ElfFile, loader: DynamicLoader): void {
    if (this.#reached.has(file.path)) return;
    this.#report(loader.load(file, facts), "warning");
  }

  #report({ objects, missing, versions }: Loading, severity: Finding["severity"]): void {
    const [first] = objects;
    if (first === undefined) return;
    for (const { name, by } of missing) {
      if (FROM_DRIVERS.test(name)) continue;
      const elsewhere = this.#providersOf(name, by.facts);
      // The program that loads a plugin often provides what the plugin needs. gcc-runtime brings libraries for
      // languages that the specs may not use.
      const isExcused = elsewhere.length > 0 || this.#packages.specOf(by.file)?.name === "gcc-runtime";
      if (severity === "warning" && isExcused) continue;
      this.#findings.noLibrary({ severity, file: first.file, name, by, elsewhere });
    }
    for (const version of versions) this.#findings.noVersion({ severity, file: first.file, ...version });
  }

  #reportBase({ objects }: Loading, { kind }: DynamicLoader): void {
    const [first, ...rest] = objects;
    if (first === undefined) return;
    for (const object of rest) {
      const by = object.loader;
      if (by === undefined || !this.#packages.isInBase(object.file) || this.#packages.isInBase(by.file)) continue;
      const [name = ""] = object.names;
      const spec = this.#providersOf(name, by.facts).find((one) => !this.#packages.isInBase(one));
      if (spec && !(kind === "musl" && this.#packages.specOf(spec)?.name === "gcc-runtime"))
        this.#findings.fromBase({ file: first.file, name, by, base: object.file, spec });
    }
  }

  #loader(interpreter: ByteString): DynamicLoader | undefined {
    if (this.#loaders.has(interpreter)) return this.#loaders.get(interpreter);
    const file = this.#tree.find(interpreter);
    const settings = { ...this.#input.settings, libraryPath: this.#variables.get("LD_LIBRARY_PATH") };
    let loader: DynamicLoader | undefined;
    if (file?.entry.elf)
      loader = isMuslName(interpreter)
        ? new MuslLoader(this.#tree, interpreter, settings)
        : new GlibcLoader(this.#tree, file, interpreter, settings);
    this.#loaders.set(interpreter, loader);
    return loader;
  }

  // The loader of the base, for an image whose programs have another one or none.
  #anyLoader(): DynamicLoader | undefined {
    for (const [name, files] of this.#providers) {
      const found = /^ld-(?:linux|musl)[\w.-]*\.so\.\d+$|^ld64\.so\.\d+$/.test(name) ? files[0] : undefined;
      if (found) return isMuslName(`/${name}`) ? this.#loader(`/lib/${name}`) : this.#loader(found.path);
    }
    return undefined;
  }

  #libc(loader: DynamicLoader | undefined): LibcReport | undefined {
    if (loader === undefined) return undefined;
    if (loader.kind === "musl") return { kind: "musl", version: undefined };
    const libc = this.#providers.get("libc.so.6")?.find((file) => file.entry.elf?.machine === this.#machine());
    const { release, defines = [] } = libc?.entry.elf ?? {};
    return { kind: "glibc", version: release ?? highestGlibc(defines) };
  }

  #machine(): number | undefined {
    return MACHINES[this.#input.architecture];
  }

  #system(): string | undefined {
    const text = this.#tree.text("/etc/os-release") ?? this.#tree.text("/usr/lib/os-release");
    return /^PRETTY_NAME="?([^"\n]{1,100})"?$/m.exec(text ?? "")?.[1];
  }

  #checkScript(file: TreeFile): void {
    const needs = readScript(file.entry.script ?? "");
    if (needs === undefined) return;
    const isRunnable = (path: string): boolean => this.#tree.find(path)?.entry.isExecutable === true;
    const missing = needs.paths.find((path) => !isRunnable(path));
    const folders = (this.#variables.get("PATH") ?? DEFAULT_PATH).split(":");
    const { onPath } = needs;
    if (missing !== undefined) this.#findings.noScriptInterpreter(file, missing);
    else if (onPath !== undefined && !onPath.includes("/"))
      if (!folders.some((folder) => isRunnable(`${folder}/${onPath}`)))
        this.#findings.noScriptInterpreter(file, onPath);
  }
}

/** The PATH that engines set if the image has none. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
