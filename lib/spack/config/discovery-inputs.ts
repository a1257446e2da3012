// What a discovery depends on, besides the machine and the variables: while none of these paths changes, another one
// with the same options finds the same.
import { join, resolve } from "node:path";
import type { DiscoverOptions, Discovery } from "./discover.ts";
import { expandUser } from "./machine.ts";
import { installationPlaces } from "./spack-installation.ts";

/** The files and folders that decided the result, present or absent. */
export function discoveryInputs(
  { configuration, installation, environment, environmentsRoot }: Discovery,
  { spack, environment: named, scopes = [], host }: DiscoverOptions,
): string[] {
  const inputs = installationPlaces(spack, installation, host);
  // A name may mean an environment of Spack or a folder.
  for (const name of [...(named ? [named] : []), ...scopes])
    for (const folder of [
      resolve(host.cwd, expandUser(name, host)),
      ...(environmentsRoot === undefined ? [] : [join(environmentsRoot, name)]),
    ])
      inputs.push(folder, join(folder, "spack.yaml"));
  if (environment !== undefined)
    for (const file of ["spack.yaml", "spack.lock"]) inputs.push(join(environment.folder, file));
  // The folder of a scope changes with each file that comes or goes.
  for (const { path, content } of configuration.scopes)
    inputs.push(...(path === undefined ? [] : [path]), ...content.files);
  return inputs;
}
