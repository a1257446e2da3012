// Proves that the terms of Spack and other tools are understood, or explained by name.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { temporaryFolder } from "../support/tree.ts";

const cache = `oci-layout:${golden("spack-1.2/plain.oci")}`;
const environment = dirname(golden("spack-1.2/spack.lock"));
const cases: { args: string[]; status: number; says: RegExp }[] = [
  { args: ["buildcache", "list", "-f", "-a", cache, "hull"], status: 0, says: /hull@1\.10\.1/ },
  { args: ["buildcache", "update-index", "-d", cache, "-k", "--check"], status: 0, says: /--keys has no effect/ },
  { args: ["check", "--rebuild-on-error", "-m", cache], status: 6, says: /leave out --rebuild-on-error/ },
  { args: ["buildcache", "save-yaml"], status: 2, says: /`stave save-specfile --help`/ },
  { args: ["get-buildcache-name", "-y", "nosuch.json"], status: 5, says: /nosuch\.json/ },
  { args: ["pull", "x"], status: 2, says: /missing required argument 'dst'[\s\S]*stave copy \[OPTIONS\] SRC DST/ },
  { args: ["ls"], status: 2, says: /usage: stave tags \[OPTIONS\] REPO; / },
  { args: ["buildcache"], status: 2, says: /Usage: stave VERB/ },
  { args: ["list-tags", "x"], status: 2, says: /use `stave tags REPO`/ },
  { args: ["manifest", "fetch", "x"], status: 2, says: /usage: stave manifest \[OPTIONS\] IMAGE; / },
  { args: ["mutate", "x"], status: 2, says: /use `stave push`/ },
  { args: ["check", "--scope", "site", "-m", cache], status: 2, says: /scopes of Spack itself .* are always read/ },
  { args: ["download", "-c", "hull", "-p", "d", "-m", cache], status: 2, says: /--require-cdashid is not needed/ },
  {
    args: ["install", "-u", "hull", "-m", cache],
    status: 2,
    says: /is a cache, expected a spec .*\n.*-m is --multiple/,
  },
  {
    args: ["serve", import.meta.filename],
    status: 2,
    says: /is not a directory \[USAGE\]\n *hint: name an image layout directory/,
  },
  {
    args: ["diff", join(environment, "spack.yaml"), join(environment, "spack.lock")],
    status: 5,
    says: /is a spack\.yaml, expected a spack\.lock .*\n *hint: name \S+\/spack\.lock, /,
  },
  { args: ["find", "-e", "nope"], status: 2, says: /nope: there is no environment or folder of this name/ },
  { args: ["inspect", cache], status: 2, says: /choose one .*\n *hint: for example \S+:fleet-env\n/ },
  { args: ["serve", "./nosuch"], status: 5, says: /there is no directory \.\/nosuch to serve/ },
  { args: ["install", "-m", cache, "hull", "--plan", "--otherarch", "--store", "s"], status: 0, says: /to install/ },
  {
    args: ["help", "lsit"],
    status: 2,
    says: /^error: unknown command 'lsit' .*\n.*did you mean list\? `stave --help`/,
  },
  { args: ["nope"], status: 2, says: /^error: unknown command 'nope' .*\n *hint: `stave --help` lists the verbs\n$/ },
  { args: ["rm", "hull"], status: 2, says: /names a repository, not an image[\s\S]*`stave uninstall SPEC`/ },
  { args: ["run", "x"], status: 2, says: /stave run x -- PROGRAM/ },
  {
    args: ["diff", "x"],
    status: 2,
    says: /missing required argument 'b' .*\n *hint: usage: stave diff \[OPTIONS\] A B; `stave diff --help` has examples\n/,
  },
  { args: ["serve"], status: 2, says: /hint: usage: stave serve \[OPTIONS\] DIR; / },
  { args: ["tags", "--jsn", "x"], status: 2, says: /did you mean --json\? `stave tags --help` lists the flags/ },
  { args: ["digest", "localhost:5871"], status: 2, says: /is a host.*\n.*localhost:5871\/REPOSITORY/ },
  { args: ["digest", "oci://ghcr.io"], status: 2, says: /is a host.*\n.*ghcr\.io\/REPOSITORY/ },
  { args: ["tags", "localhost:1", "--retries", "0"], status: 4, says: /cannot reach localhost:1/ },
  ...[["check"], ["why-miss"], ["download", "-p", "d"]].map((verb) => ({
    args: [...verb, cache, "hull"],
    status: 2,
    says: /is a cache, expected a spec .*\n *hint: this verb takes the cache as -m oci-layout:/,
  })),
  { args: ["push", "hull", "./c9"], status: 2, says: /\.\/c9 is a cache.*\n *hint: the cache goes before the specs/ },
  { args: ["prune", "-m", cache], status: 0, says: /0 specs/ },
  { args: ["index", "--check", "-m", cache], status: 0, says: /up to date/ },
  { args: ["prune", "-m", cache, "./other"], status: 2, says: /two caches are named/ },
  { args: ["push", "-m", cache, "./other"], status: 2, says: /\.\/other is a cache, expected a spec/ },
  { args: ["list", "nocache"], status: 5, says: /nocache was taken as a spec, for a directory write \.\/nocache/ },
  { args: ["install", "nocache"], status: 5, says: /nocache was taken as a spec, for a directory write \.\/nocache/ },
  {
    args: ["inspect", "readline", "--retries", "0"],
    status: 4,
    says: /hint: .*readline was taken for an image of Docker Hub; for a directory write .*\.\/readline/,
  },
  { args: ["serve", "--help"], status: 0, says: /podman pull --tls-verify=false localhost:5000/ },
  { args: ["push", "--help"], status: 0, says: /one image of the\s+named specs and of all that they need at run time/ },
];
for (const { args, status, says } of cases)
  test(`stave ${args.join(" ").replace(cache, "CACHE")}`, async () => {
    const ran = await stave(args, {
      cwd: temporaryFolder(),
      // No test may reach a real registry.
      env: { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "", HTTPS_PROXY: "http://127.0.0.1:1" },
    });
    assert.equal(ran.status, status, ran.stderr + ran.stdout);
    assert.match(ran.stdout + ran.stderr, says);
  });
