// Proves the protocol of asking Spack, with another program in its place: the question, valid answers, and how it ends.
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type AskOptions, askSpack, type SpackQuestion } from "../../../lib/spack/environment/ask-spack.ts";
import { configTree } from "../../support/config-tree.ts";
import { failsWith } from "../../support/errors.ts";
import { makeGraph } from "../../support/graph.ts";
import { named } from "../../support/push.ts";
import { copyOf, openStore, SPACK_1 } from "../../support/stores.ts";

const roots = makeGraph(2, () => []);
const MARK = "STAVE-ANSWER ";
const question: SpackQuestion = { environments: [roots], specs: roots.slice(1) };
const answer = (modifications: unknown, missing: unknown = []) =>
  `${MARK}${JSON.stringify({ version: "1.2.0", missing, environments: [modifications], restricted: [] })}`;

// A Spack whose program is a shell script.
function fake(script: string, mode = 0o755): { root: string; options: AskOptions } {
  const root = configTree({ "bin/spack": `#!/bin/sh\ncd "${"$"}(dirname "${"$"}0")"\n${script}\n` });
  chmodSync(join(root, "bin/spack"), mode);
  return {
    root,
    options: {
      installation: { root, version: "1.2.0", style: "nested", from: "option" },
      env: { PATH: "/usr/bin:/bin" },
      timeout: 30_000,
    },
  };
}
const saying = (text: string) => fake(`cat >/dev/null\ncat <<'END'\n${text}\nEND`).options;

test("asks for the hashes on stdin, in the given environment and scopes, and nothing of the user's", async () => {
  const { root, options } = fake(
    `cat > asked\nprintf '%s\\n' "${"$"}@" > arguments\nenv > variables\necho '${answer([])}'`,
  );
  const env = { PATH: "/usr/bin:/bin", SPACK_ENV: "/other", PYTHONSTARTUP: "/x.py", KEEP: "1" };
  const found = await askSpack(question, { ...options, env, environment: "/the env", scopes: ["a", "b c"] });
  assert.deepEqual(found, { version: "1.2.0", environments: [[]], restricted: new Set() });
  const hashes = roots.map(({ hash }) => hash);
  assert.deepEqual(JSON.parse(readFileSync(join(root, "bin/asked"), "utf8")), {
    environments: [hashes],
    specs: hashes.slice(1),
  });
  const given = readFileSync(join(root, "bin/arguments"), "utf8").split("\n");
  assert.deepEqual(given.slice(0, 8), ["--env-dir", "/the env", "-C", "a", "-C", "b c", "python", "-c"]);
  assert.match(given[8] ?? "", /^exec\("/);
  const variables = readFileSync(join(root, "bin/variables"), "utf8");
  assert.match(variables, /^KEEP=1$/m);
  assert.doesNotMatch(variables, /SPACK_ENV|PYTHONSTARTUP/);
  await askSpack(question, options);
  assert.match(readFileSync(join(root, "bin/arguments"), "utf8"), /^--no-env\npython\n-c\n/);
});

test("is asked about the store at hand, whatever it is configured for", async () => {
  const { root, options } = fake(`cat > /dev/null\nprintf '%s\\n' "${"$"}@" > arguments\necho '${answer([])}'`);
  const projections = [
    ["^python@3:", "{name}/{hash}"],
    ["all", '{name}"{version}"'],
  ] as const;
  const store = { root: "/a store", projections, upstreams: [] };
  await askSpack(question, { ...options, scopes: ["a"], settings: ["config:install_tree:root:/mine"], store });
  const given = readFileSync(join(root, "bin/arguments"), "utf8").split("\n");
  assert.deepEqual(given.slice(0, 14), [
    ...["--no-env", "-C", "a", "-c", "config:install_tree:root:/mine", "-c", 'config:install_tree:root:"/a store"'],
    ...["-c", "config:install_tree:padded_length:0"],
    ...["-c", 'config:install_tree:projections:"^python@3:":"{name}/{hash}"'],
    ...["-c", `config:install_tree:projections:"all":'{name}"{version}"'`],
    "python",
  ]);
});

test("an answer about another store is an error, not an environment", async () => {
  const golden = await openStore(SPACK_1, await copyOf(SPACK_1));
  const asked: SpackQuestion = { environments: [[named(golden, "fleet")]], specs: [] };
  const store = { root: SPACK_1.root, projections: [], upstreams: ["/up/stream"] };
  const said = (...one: unknown[]) => askSpack(asked, { ...saying(answer([one])), store });
  const fine = [
    ["PrependPath", "PATH", `${SPACK_1.root}/x/bin`, ":"],
    ["PrependPath", "PATH", "/up/stream/x/bin", ":"],
    ["AppendPath", "PATH", "/usr/libexec/of-the-external-gcc", ":"],
    ["SetEnv", "CERTIFICATES", "/etc/ssl/certs", ":"],
    ["SetEnv", "URL", "https://example.com/x", ":"],
    ["SetEnv", "MODE", "calm:/other", ":"],
    ["RemovePath", "PATH", "/other/store/x/bin", ":"],
  ];
  for (const one of fine) assert.equal((await said(...one)).environments[0]?.length, 1);
  const strays = [
    ["PrependPath", "PATH", "/other/store/x/bin", ":"],
    ["AppendPath", "PATH", `${SPACK_1.root}-2/x/bin`, ":"],
    ["AppendPath", "PATH", `${SPACK_1.root}/../x/bin`, ":"],
    ["SetEnv", "HOME_OF_X", "/other/store/x", ":"],
    ["SetPath", "LIST", [`${SPACK_1.root}/x`, "/other"], ":"],
  ];
  for (const one of strays)
    await failsWith("HELPER_FAILED", said(...one), /has \/\S+, which is neither in the store \/opt\/harbor\/store nor/);
});

test("what to leave out depends on what named the Spack", async () => {
  const options = saying("nothing");
  const installation = { ...options.installation, from: "SPACK_ROOT" } as const;
  const error = await failsWith("HELPER_FAILED", askSpack(question, { ...options, installation }), /without an answer/);
  assert.equal(error.hint, "unset SPACK_ROOT to make the environment without it");
});

test("every kind of modification is understood, and noise before the answer is not", async () => {
  const all = [
    ["SetEnv", "A", "1", ":"],
    ["SetPath", "B", ["/a", "/b"], ";"],
    ["SetPath", "C", "/a:/b", ":"],
    ["UnsetEnv", "D", null, ":"],
    ["PrependPath", "E", "/e", ":"],
    ["AppendPath", "E", "/f", ";"],
    ["RemovePath", "E", "/g", ":"],
    ["RemoveFirstPath", "E", "/h", ":"],
    ["RemoveLastPath", "E", "/i", ":"],
    ["AppendFlagsEnv", "F", "-x", " "],
    ["RemoveFlagsEnv", "F", "-y", " "],
    ["PruneDuplicatePaths", "E", null, ":"],
    ["DeprioritizeSystemPaths", "E", null, ":"],
  ];
  const { environments } = await askSpack(
    question,
    saying(`==> Warning: \u001b[33mnoise\n${answer([["SetEnv", "OLD", "", ":"]])}\n${answer(all)}\ntrailing`),
  );
  assert.deepEqual(environments[0], [
    { op: "set", name: "A", value: "1" },
    { op: "set", name: "B", value: "/a;/b" },
    { op: "set", name: "C", value: "/a:/b" },
    { op: "unset", name: "D" },
    { op: "prepend-path", name: "E", value: "/e", separator: ":" },
    { op: "append-path", name: "E", value: "/f", separator: ";" },
    { op: "remove-path", name: "E", value: "/g", separator: ":" },
    { op: "remove-first-path", name: "E", value: "/h", separator: ":" },
    { op: "remove-last-path", name: "E", value: "/i", separator: ":" },
    { op: "append-flags", name: "F", value: "-x", separator: " " },
    { op: "remove-flags", name: "F", value: "-y", separator: " " },
    { op: "prune-duplicate-paths", name: "E", separator: ":" },
    { op: "deprioritize-system-paths", name: "E", separator: ":" },
  ]);
});

test("tells which specs may not be passed on, and answers for each set", async () => {
  const two = {
    version: "1.2.0",
    missing: [],
    environments: [[], [["SetEnv", "A", "1", ":"]]],
    restricted: [roots[1]?.hash],
  };
  const said = `${MARK}${JSON.stringify(two)}`;
  const { environments, restricted } = await askSpack({ ...question, environments: [roots, roots] }, saying(said));
  assert.deepEqual(environments, [[], [{ op: "set", name: "A", value: "1" }]]);
  assert.deepEqual([...restricted], [roots[1]?.hash]);
  await failsWith("HELPER_FAILED", askSpack(question, saying(said)), /answered for 2 environments, expected 1/);
});

test("a spec that Spack does not have is an error that names it", async () => {
  const error = await failsWith(
    "SPEC_NOT_INSTALLED",
    askSpack(question, saying(answer([], [roots[1]?.hash]))),
    /does not have p000001@1\.0\/\w{7} installed/,
  );
  assert.match(error.hint ?? "", /leave out `spack`/);
});

const BAD: { name: string; script: string; message: RegExp }[] = [
  {
    name: "fails",
    script: "echo '==> Error: \u001b[31mno repository' >&2; exit 3",
    message: /it failed with status 3: ==> Error: \\u001b\[31mno repository$/,
  },
  { name: "fails although it answers", script: `echo '${answer([])}'; exit 1`, message: /it failed with status 1/ },
  { name: "dies", script: "kill -9 $$", message: /it failed with status none/ },
  { name: "says nothing", script: "true", message: /it ended without an answer/ },
  { name: "says something else", script: "echo hello", message: /it ended without an answer/ },
  { name: "says half of it", script: `echo '${answer([]).slice(0, 30)}'`, message: /its answer is not valid JSON/ },
  { name: "answers a list", script: `echo '${MARK}[]'`, message: /its answer is not valid at/ },
  {
    name: "answers with a kind nobody knows",
    script: `echo '${answer([["Explode", "A", "b", ":"]])}'`,
    message: /not valid at environments\.0\.0/,
  },
  {
    name: "answers with a name that is none",
    script: `echo '${answer([["SetEnv", "A=B", "c", ":"]])}'`,
    message: /not valid at environments\.0\.0/,
  },
  {
    name: "answers with a NUL",
    script: `echo '${answer([["SetEnv", "A", "b\0c", ":"]])}'`,
    message: /not valid at environments\.0\.0/,
  },
  {
    name: "answers with an empty separator",
    script: `echo '${answer([["PrependPath", "A", "b", ""]])}'`,
    message: /not valid at environments\.0\.0/,
  },
];
for (const { name, script, message } of BAD)
  test(`a Spack that ${name} is an error with a way on`, async () => {
    const error = await failsWith("HELPER_FAILED", askSpack(question, fake(script).options), message);
    assert.equal(error.hint, "leave out `spack` to make the environment without it");
  });

test("a Spack that cannot be started is an error", async () => {
  await failsWith("HELPER_FAILED", askSpack(question, fake("true", 0o644).options), /it cannot be run: .*EACCES/);
  const { options } = fake("true");
  await failsWith(
    "HELPER_FAILED",
    askSpack(question, { ...options, installation: { ...options.installation, root: "/nowhere" } }),
    /it cannot be run: .*ENOENT/,
  );
});

test("an answer without end is cut off", async () => {
  await failsWith("TOO_LARGE", askSpack(question, fake("yes").options), /the answer of .* is larger than/);
});

// True if a process ends within five seconds.
async function hasEnded(pid: number): Promise<boolean> {
  for (let at = 0; at < 100; at++) {
    const stat = `/proc/${pid}/stat`;
    if (!existsSync(stat) || / Z /.test(readFileSync(stat, "utf8"))) return true;
    await wait(50);
  }
  return false;
}

test("a Spack that hangs is ended with all that it started", async () => {
  const { root, options } = fake("sleep 600 & echo $! > child; sleep 600");
  await failsWith("TIMEOUT", askSpack(question, { ...options, timeout: 700 }), /did not answer within 700 ms/);
  assert.ok(await hasEnded(Number(readFileSync(join(root, "bin/child"), "utf8"))));
});

test("whoever asks can stop it", async () => {
  const { root, options } = fake("echo $$ > me; sleep 600");
  const stop = new AbortController();
  const asking = askSpack(question, { ...options, signal: stop.signal });
  const me = join(root, "bin/me");
  for (let at = 0; at < 100 && !(existsSync(me) && readFileSync(me, "utf8") !== ""); at++) await wait(20);
  stop.abort(new Error("enough"));
  await assert.rejects(asking, /enough/);
  assert.ok(await hasEnded(Number(readFileSync(me, "utf8"))));
  await assert.rejects(askSpack(question, { ...options, signal: stop.signal }), /enough/);
});
