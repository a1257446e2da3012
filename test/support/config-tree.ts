// Folders of configuration files for tests, with a host that is the same on every machine.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Host } from "../../lib/spack/config/machine.ts";

const roots: string[] = [];
process.on("exit", () => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

/** Writes files below a new folder, which is removed at the end of the process. Keys are paths, values are contents. */
export function configTree(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "stave-config-"));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** A host whose home is `<root>/home` and whose system scope is `<root>/system`. */
export function hostAt(root: string, env: Record<string, string> = {}, more: Partial<Host> = {}): Host {
  return {
    env: { SPACK_SYSTEM_CONFIG_PATH: join(root, "system"), ...env },
    home: join(root, "home"),
    user: "ada",
    cwd: root,
    hostname: "loom",
    platform: "linux",
    machine: "x86_64",
    os: "debian12",
    target: "zen3",
    date: "2026-02-03",
    ...more,
  };
}

/** The files of a Spack installation of some version, as far as they matter for configuration. */
export function spackFiles(folder: string, version: string): Record<string, string> {
  const nested = `include:
- {name: user, path_override_env_var: SPACK_USER_CONFIG_PATH, path: "~/.spack", optional: true, when: '"SPACK_DISABLE_LOCAL_CONFIG" not in env'}
- {name: site, path: $spack/etc/spack/site, optional: true}
- {name: system, path_override_env_var: SPACK_SYSTEM_CONFIG_PATH, path: /etc/spack, optional: true, when: '"SPACK_DISABLE_LOCAL_CONFIG" not in env'}
`;
  const old = version.startsWith("0.");
  const base = old ? "etc/spack/defaults" : "etc/spack/defaults/base";
  return Object.fromEntries(
    Object.entries({
      "bin/spack": "#!/bin/sh\n",
      "lib/spack/spack/__init__.py": `#: version\n__version__ = "${version}"\n`,
      ...(old
        ? {}
        : { "etc/spack/defaults/include.yaml": "include:\n- {path: $platform, optional: true}\n- path: base\n" }),
      ...(old || version.startsWith("1.0") ? {} : { "etc/spack/include.yaml": nested }),
      [`${base}/config.yaml`]: "config:\n  install_tree:\n    root: $spack/opt/spack\n  connect_timeout: 30\n",
      [`${base}/mirrors.yaml`]: "mirrors:\n  spack-public: {binary: false, url: https://mirror.example.org}\n",
    }).map(([path, text]) => [`${folder}/${path}`, text]),
  );
}
