// Puts the example workflows into the bundles, for `stave init --ci`.
import type { Plugin } from "esbuild";
import { workflowTemplates } from "../lib/cli/output/workflow-templates.ts";

/** Replaces the module that reads the examples by one that contains them. */
export const containWorkflows: Plugin = {
  name: "contain-workflows",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/lib\/cli\/output\/workflow-templates\.ts$/ }, async () => {
      const texts = JSON.stringify(await workflowTemplates());
      return { contents: `export async function workflowTemplates() { return ${texts}; }`, loader: "js" };
    });
  },
};
