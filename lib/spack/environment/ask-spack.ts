// Asks a Spack installation for facts that only recipes know: the exact environment of installed specs, and which specs
// may not be redistributed. run-environment.ts derives an environment without Spack.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import * as z from "zod";
import { isStaveError, messageOf, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { readAll } from "../../util/stream.ts";
import type { Variables } from "../config/machine.ts";
import type { Installation } from "../config/spack-installation.ts";
import type { SpecNode } from "../spec/node.ts";
import { shortName } from "../spec/node-reader.ts";
import { type AskedStore, strayPath } from "./asked-store.ts";
import type { EnvModification } from "./env-modifications.ts";

/** Selects the Spack to ask, and how. */
export interface AskOptions {
  readonly installation: Installation;
  /** The environment of its process. */
  readonly env: Variables;
  /** The folder of the active environment, which must hold a `spack.yaml`; a Spack on the PATH does not get it. */
  readonly environment?: string | undefined;
  /** The arguments of `-C`. */
  readonly scopes?: readonly string[] | undefined;
  /** The arguments of `-c`. */
  readonly settings?: readonly string[] | undefined;
  /** The store to ask about, overriding Spack's configuration; by default its own. */
  readonly store?: AskedStore | undefined;
  /** The timeout in milliseconds; default two minutes. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The question. */
export interface SpackQuestion {
  /** Sets of specs; the specs of a set are used together. */
  readonly environments: readonly (readonly SpecNode[])[];
  /** The specs whose redistribution is asked about. */
  readonly specs: readonly SpecNode[];
}

/** Spack's answer. */
export interface SpackAnswer {
  /** The version of that Spack. */
  readonly version: string;
  /** The environment modifications for each set. */
  readonly environments: readonly (readonly EnvModification[])[];
  /** The hashes of specs whose recipes forbid redistribution (`redistribute`). */
  readonly restricted: ReadonlySet<string>;
}

const MARK = "STAVE-ANSWER ";
const ANSWER_LIMIT = 16 * 1024 * 1024;
const WAIT = 120_000;

// For Spack 0.21 and later. Hashes come on stdin, because command lines are limited in length.
const SCRIPT = `
import json, sys
import spack, spack.store, spack.user_environment
answer = {"version": spack.spack_version, "missing": [], "environments": [], "restricted": []}
question = json.load(sys.stdin)
specs = {}
for dag_hash in sorted({x for group in question["environments"] for x in group} | set(question["specs"])):
    _, record = spack.store.STORE.db.query_by_spec_hash(dag_hash)
    if record is None or not (record.installed or record.spec.external):
        answer["missing"].append(dag_hash)
    else:
        specs[dag_hash] = record.spec
if not answer["missing"]:
    for group in question["environments"]:
        modifications = []
        found = spack.user_environment.environment_modifications_for_specs(*[specs[x] for x in group])
        for one in found.env_modifications:
            value = getattr(one, "value", None)
            if value is not None:
                value = [str(x) for x in value] if isinstance(value, (list, tuple)) else str(value)
            modifications.append([type(one).__name__, one.name, value, getattr(one, "separator", ":")])
        answer["environments"].append(modifications)
    for dag_hash in question["specs"]:
        if not getattr(specs[dag_hash].package, "redistribute_binary", True):
            answer["restricted"].append(dag_hash)
sys.stdout.write("\\n${MARK}" + json.dumps(answer) + "\\n")
sys.stdout.flush()
`;

/**
 * Asks Spack about installed specs in one process. Throws SPEC_NOT_INSTALLED if its store lacks one, HELPER_FAILED if
 * it fails or its answer is invalid, TIMEOUT, TOO_LARGE, and the signal's reason.
 */
export async function askSpack(question: SpackQuestion, options: AskOptions): Promise<SpackAnswer> {
  const { installation, environment, scopes = [], settings = [], store } = options;
  const program = programOf(installation);
  // An environment names folders of Python code, such as recipes. Only a Spack that the user named may run it.
  const where = environment === undefined || isFoundSpack(options) ? ["--no-env"] : ["--env-dir", environment];
  // `spack python -c` takes one line; JSON strings are valid Python strings.
  const line = `exec(${JSON.stringify(SCRIPT)})`;
  const all = [...settings, ...(store ? storeSettings(store) : [])];
  const flags = [...scopes.flatMap((scope) => ["-C", scope]), ...all.flatMap((setting) => ["-c", setting])];
  const args = [...where, ...flags, "python", "-c", line];
  const hashes = (nodes: readonly SpecNode[]): string[] => nodes.map(({ hash }) => hash);
  const asked = { environments: question.environments.map(hashes), specs: hashes(question.specs) };
  const output = await run(program, args, JSON.stringify(asked), options);
  const answer = output.split("\n").findLast((text) => text.startsWith(MARK));
  const { version, missing, environments, restricted } = parseAnswer(installation, answer?.slice(MARK.length));
  const absent = [...question.environments.flat(), ...question.specs].filter(({ hash }) => missing.includes(hash));
  if (absent.length > 0)
    throw new StaveError(
      "SPEC_NOT_INSTALLED",
      `${program} does not have ${[...new Set(absent.map(shortName))].slice(0, 5).join(", ")} installed, expected all specs of the environment`,
      {
        op: "ask Spack",
        subject: program,
        hint: `name the Spack that installed them with \`spack\`, or ${withoutSpack(installation)}`,
      },
    );
  if (environments.length !== question.environments.length)
    throw failed(
      installation,
      `it answered for ${environments.length} environments, expected ${question.environments.length}`,
    );
  for (const [at, nodes] of question.environments.entries()) {
    const stray = store && strayPath(nodes, environments[at] ?? [], store);
    if (stray)
      throw failed(
        installation,
        `${printable(stray.name)} has ${printable(stray.path)}, which is neither in the store ${store.root} nor in an external`,
      );
  }
  return { version, environments, restricted: new Set(restricted) };
}

/** True for a Spack that was not named: it may not own the store, so it is asked only for what recipes do not tell. */
export function isFoundSpack({ installation }: Pick<AskOptions, "installation">): boolean {
  return installation.from === "PATH";
}

/** Asks a Spack that was found on the PATH. If it cannot answer, that is a warning, and the answer is undefined. */
export async function askFoundSpack(
  question: SpackQuestion,
  options: AskOptions,
  onWarning: (text: string) => void,
): Promise<SpackAnswer | undefined> {
  try {
    return await askSpack(question, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isStaveError(error)) throw error;
    onWarning(`the Spack on the PATH was not used for variables that recipes set: ${error.message}`);
    return undefined;
  }
}

// The last setting of a key wins. The root already includes the store's padding.
function storeSettings({ root, projections }: AskedStore): string[] {
  const quoted = (text: string): string => (text.includes('"') ? `'${text}'` : `"${text}"`);
  return [
    `config:install_tree:root:${quoted(root)}`,
    "config:install_tree:padded_length:0",
    ...projections.map(([query, format]) => `config:install_tree:projections:${quoted(query)}:${quoted(format)}`),
  ];
}

const Text = z.string().refine((text) => !text.includes("\0"));
const Name = z.string().regex(/^[^=\0]+$/);
const PATH_OPS = {
  PrependPath: "prepend-path",
  AppendPath: "append-path",
  RemovePath: "remove-path",
  RemoveFirstPath: "remove-first-path",
  RemoveLastPath: "remove-last-path",
  AppendFlagsEnv: "append-flags",
  RemoveFlagsEnv: "remove-flags",
} as const;
const LIST_OPS = {
  PruneDuplicatePaths: "prune-duplicate-paths",
  DeprioritizeSystemPaths: "deprioritize-system-paths",
} as const;
const keysOf = <K extends string>(table: Readonly<Record<K, string>>): [K, ...K[]] => Object.keys(table) as [K, ...K[]];

// Spack's classes of modifications (`util/environment.py`), by their names.
const Modification = z.union([
  z
    .tuple([z.literal("SetEnv"), Name, Text, Text])
    .transform(([, name, value]): EnvModification => ({ op: "set", name, value })),
  z.tuple([z.literal("SetPath"), Name, z.union([Text, z.array(Text)]), Text]).transform(
    ([, name, value, separator]): EnvModification => ({
      op: "set",
      name,
      value: typeof value === "string" ? value : value.join(separator),
    }),
  ),
  z
    .tuple([z.literal("UnsetEnv"), Name, z.null(), Text])
    .transform(([, name]): EnvModification => ({ op: "unset", name })),
  z
    .tuple([z.enum(keysOf(PATH_OPS)), Name, Text, Text.min(1)])
    .transform(([kind, name, value, separator]): EnvModification => ({ op: PATH_OPS[kind], name, value, separator })),
  z
    .tuple([z.enum(keysOf(LIST_OPS)), Name, z.null(), Text.min(1)])
    .transform(([kind, name, , separator]): EnvModification => ({ op: LIST_OPS[kind], name, separator })),
]);
const Answer = z.object({
  version: z.string().max(100),
  missing: z.array(z.string()),
  environments: z.array(z.array(Modification)),
  restricted: z.array(z.string()),
});

function parseAnswer(installation: Installation, text: string | undefined): z.infer<typeof Answer> {
  if (text === undefined) throw failed(installation, "it ended without an answer");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw failed(installation, "its answer is not valid JSON", cause);
  }
  const result = Answer.safeParse(json);
  if (!result.success) {
    const at = result.error.issues[0]?.path.map(String).join(".") ?? "";
    throw failed(installation, `its answer is not valid at ${printable(at)}`, result.error);
  }
  return result.data;
}

const programOf = ({ root }: Installation): string => join(root, "bin", "spack");

const withoutSpack = ({ from }: Installation): string =>
  `${from === "SPACK_ROOT" ? "unset SPACK_ROOT" : "leave out `spack`"} to make the environment without it`;

function failed(installation: Installation, problem: string, cause?: unknown): StaveError {
  const program = programOf(installation);
  return new StaveError("HELPER_FAILED", `${program} could not answer about the specs: ${problem}`, {
    op: "ask Spack",
    subject: program,
    hint: withoutSpack(installation),
    cause,
  });
}

// Runs without a shell and in its own process group, so that all of Spack's children end with it.
async function run(program: string, args: readonly string[], input: string, options: AskOptions): Promise<string> {
  const { installation, signal, timeout = WAIT } = options;
  signal?.throwIfAborted();
  const { SPACK_ENV: _environment, PYTHONSTARTUP: _startup, ...env } = options.env;
  const child = spawn(program, args, { env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  let stopped: StaveError | undefined;
  const stop = (why?: StaveError): void => {
    stopped ??= why;
    if (child.pid !== undefined && child.exitCode === null) kill(child.pid);
    // A child that left the group may keep the pipes open forever.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const late = new StaveError("TIMEOUT", `${program} did not answer within ${timeout} ms`, {
    op: "ask Spack",
    subject: program,
    hint: withoutSpack(installation),
  });
  const timer = setTimeout(() => stop(late), timeout);
  const onAbort = (): void => stop();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const [code, output, errors] = await talk(child, input, program, stop);
    signal?.throwIfAborted();
    if (stopped) throw stopped;
    const [last = ""] = errors.trim().split("\n").slice(-1);
    if (code !== 0) throw failed(installation, `it failed with status ${code ?? "none"}: ${printable(last)}`);
    return output;
  } catch (error) {
    signal?.throwIfAborted();
    if (stopped) throw stopped;
    throw isStaveError(error) ? error : failed(installation, `it cannot be run: ${printable(messageOf(error))}`, error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    stop();
  }
}

async function talk(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  input: string,
  program: string,
  stop: () => void,
): Promise<[code: number | null, output: string, errors: string]> {
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  // A program that does not read its input breaks the pipe; its exit status tells more.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const read = async (stream: Readable): Promise<string> => {
    try {
      return (await readAll(stream, ANSWER_LIMIT, `the answer of ${program}`)).toString("utf8");
    } catch (error) {
      stop();
      throw error;
    }
  };
  const [code, output, errors] = await Promise.all([ended, read(child.stdout), read(child.stderr)]);
  return [code, output, errors];
}

function kill(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has already ended.
  }
}
