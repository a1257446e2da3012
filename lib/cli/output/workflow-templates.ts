// The example workflows that `stave init --ci` fits to a repository. The build replaces this file by one that contains
// the texts, so that they are where the program is; sources read the examples themselves.
import { readFile } from "node:fs/promises";

/** The CI services for which there is a workflow. */
export type CiService = "github" | "gitlab";

/** The example workflow of each service. */
export async function workflowTemplates(): Promise<Readonly<Record<CiService, string>>> {
  const folder = new URL("../../../examples/", import.meta.url);
  const text = (name: string): Promise<string> => readFile(new URL(name, folder), "utf8");
  return { github: await text("github-actions.yml"), gitlab: await text("gitlab-ci.yml") };
}
