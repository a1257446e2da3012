// The configuration of VitePress: scripts/site.ts writes the pages beside it, and the names of those that it made.
import { readFileSync } from "node:fs";

const { sidebar, pages } = JSON.parse(readFileSync(new URL("./pages.json", import.meta.url), "utf8"));

// As GitHub makes them, so that one address fits both.
const slugify = (text) =>
  text
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-");

export default {
  title: "stave",
  description: "Turn an installed Spack environment into container images and back",
  base: process.env.SITE_BASE ?? "/",
  outDir: process.env.SITE_OUT,
  // Pages lead to files that the site serves as they are.
  ignoreDeadLinks: [/^\/?files\//, /\/files\//],
  markdown: { anchor: { slugify } },
  head: [["link", { rel: "icon", href: `${process.env.SITE_BASE ?? "/"}icon.svg`, type: "image/svg+xml" }]],
  themeConfig: {
    logo: "/icon.svg",
    outline: [2, 3],
    search: { provider: "local" },
    sidebar,
    nav: pages,
  },
};
