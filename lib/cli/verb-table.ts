// All verbs, in groups: what the overview of the help, the manual pages and the completion show.
import type { VerbFactory } from "./verbs/verb.ts";

/** A verb, and how to load its code. */
export interface Verb {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly load: () => Promise<{ verb: VerbFactory }>;
}

/** The verbs by the heading of their group. They are loaded on demand: `stave --version` reads none of them. */
export const VERB_GROUPS: Readonly<Record<string, readonly Verb[]>> = {
  Pushing: [
    {
      name: "push",
      aliases: ["create"],
      summary: "push installed specs as images, and an environment as one image",
      load: () => import("./verbs/push.ts"),
    },
  ],
  Images: [
    {
      name: "image-index",
      summary: "put the images of several platforms under one tag",
      load: () => import("./verbs/image-index.ts"),
    },
    {
      name: "rebase",
      summary: "put a pushed image onto another base image",
      load: () => import("./verbs/rebase.ts"),
    },
    {
      name: "export",
      summary: "write an image as an archive for docker, podman or Apptainer",
      load: () => import("./verbs/export.ts"),
    },
    {
      name: "inspect",
      summary: "show an image: manifest, config, layers, spec",
      load: () => import("./verbs/inspect.ts"),
    },
    {
      name: "check-run",
      summary: "check whether the programs of an image will start",
      load: () => import("./verbs/check-run.ts"),
    },
    {
      name: "size",
      summary: "show where the bytes of an image are",
      load: () => import("./verbs/size.ts"),
    },
    {
      name: "sbom",
      summary: "print a bill of materials of an image or of specs",
      load: () => import("./verbs/sbom.ts"),
    },
  ],
  "Installing and running": [
    {
      name: "run",
      summary: "run a program from a build cache, without Spack",
      load: () => import("./verbs/run.ts"),
    },
    {
      name: "shell",
      summary: "start a shell with specs of a build cache",
      load: () => import("./verbs/shell.ts"),
    },
    {
      name: "install",
      summary: "install specs from build caches into a Spack store",
      load: () => import("./verbs/install.ts"),
    },
    {
      name: "env",
      summary: "print shell commands that make installed specs usable",
      load: () => import("./verbs/env.ts"),
    },
    {
      name: "module",
      summary: "write modulefiles of installed specs, for Tcl or Lmod",
      load: () => import("./verbs/module.ts"),
    },
    { name: "view", summary: "make one tree of links to installed specs", load: () => import("./verbs/view.ts") },
  ],
  "Build caches": [
    {
      name: "search",
      summary: "find packages of a build cache by name or description",
      load: () => import("./verbs/search.ts"),
    },
    { name: "list", summary: "list the specs of a build cache", load: () => import("./verbs/list.ts") },
    {
      name: "index",
      aliases: ["update-index", "rebuild-index"],
      summary: "update the index of a build cache",
      load: () => import("./verbs/index.ts"),
    },
    {
      name: "check",
      summary: "report missing specs and broken images of a build cache",
      load: () => import("./verbs/check.ts"),
    },
    {
      name: "why-miss",
      summary: "explain why a spec would not be installed from a cache",
      load: () => import("./verbs/why-miss.ts"),
    },
    {
      name: "download",
      summary: "download the archive and spec file of a spec",
      load: () => import("./verbs/download.ts"),
    },
    {
      name: "diff",
      summary: "show what changed between two images, caches or lock files",
      load: () => import("./verbs/diff.ts"),
    },
    {
      name: "prune",
      summary: "remove specs and blobs that a build cache no longer needs",
      load: () => import("./verbs/prune.ts"),
    },
    {
      name: "web",
      summary: "write the pages of a catalogue of a build cache",
      load: () => import("./verbs/web.ts"),
    },
    {
      name: "sync",
      summary: "copy specs from one build cache to another, of any kind",
      load: () => import("./verbs/sync.ts"),
    },
    {
      name: "migrate",
      summary: "bring a mirror of Spack 0.x to the newest layout",
      load: () => import("./verbs/migrate.ts"),
    },
    {
      name: "keys",
      summary: "show the public keys that mirrors offer, and import them",
      load: () => import("./verbs/keys.ts"),
    },
    {
      name: "gpg",
      summary: "list and trust gpg keys, and publish them in a mirror",
      load: () => import("./verbs/gpg.ts"),
    },
  ],
  "Installed specs": [
    { name: "find", summary: "show what is installed in a Spack store", load: () => import("./verbs/find.ts") },
    { name: "spec", summary: "show a concrete spec as a tree", load: () => import("./verbs/spec.ts") },
    {
      name: "verify",
      summary: "check installed files, or the signatures of images",
      load: () => import("./verbs/verify.ts"),
    },
    {
      name: "uninstall",
      summary: "remove installed specs from a Spack store",
      load: () => import("./verbs/uninstall.ts"),
    },
    { name: "gc", summary: "remove installed specs that nothing needs", load: () => import("./verbs/gc.ts") },
    {
      name: "relocate",
      summary: "update the paths in a tree that was moved",
      load: () => import("./verbs/relocate.ts"),
    },
    {
      name: "preview",
      summary: "show what relocation would change, and the longest possible root",
      load: () => import("./verbs/preview.ts"),
    },
    {
      name: "name",
      aliases: ["get-buildcache-name"],
      summary: "print the name of a spec in a build cache",
      load: () => import("./verbs/name.ts"),
    },
    {
      name: "save-specfile",
      aliases: ["save-yaml"],
      summary: "write spec files for a spec and its dependencies",
      load: () => import("./verbs/save-specfile.ts"),
    },
    {
      name: "config",
      summary: "show the Spack configuration that stave found, and where",
      load: () => import("./verbs/config.ts"),
    },
  ],
  Registries: [
    {
      name: "copy",
      aliases: ["cp", "pull"],
      summary: "copy an image between registries and directories",
      load: () => import("./verbs/copy.ts"),
    },
    {
      name: "tags",
      aliases: ["ls"],
      summary: "list the tags of a repository, or the repositories of a registry",
      load: () => import("./verbs/tags.ts"),
    },
    { name: "tag", summary: "give an image more tags in its repository", load: () => import("./verbs/tag.ts") },
    {
      name: "delete",
      aliases: ["rm"],
      summary: "remove tags or manifests from a repository",
      load: () => import("./verbs/delete.ts"),
    },
    { name: "digest", summary: "print the digest of an image", load: () => import("./verbs/digest.ts") },
    {
      name: "manifest",
      summary: "fetch the manifest of an image, unchanged",
      load: () => import("./verbs/manifest.ts"),
    },
    { name: "blob", summary: "fetch a layer or the config of an image", load: () => import("./verbs/blob.ts") },
    {
      name: "referrers",
      summary: "list what refers to an image, such as signatures",
      load: () => import("./verbs/referrers.ts"),
    },
    {
      name: "attach",
      summary: "store files as an artifact that refers to an image",
      load: () => import("./verbs/attach.ts"),
    },
    { name: "serve", summary: "serve a directory as a registry", load: () => import("./verbs/serve.ts") },
    { name: "login", summary: "store credentials for a registry", load: () => import("./verbs/login.ts") },
    { name: "logout", summary: "remove the credentials for a registry", load: () => import("./verbs/logout.ts") },
  ],
  "Signatures and trust": [
    {
      name: "sign",
      summary: "sign an image, or the specs and the index of a cache",
      load: () => import("./verbs/sign.ts"),
    },
    {
      name: "trust",
      summary: "show, change and explain the trust policy",
      load: () => import("./verbs/trust.ts"),
    },
    { name: "keygen", summary: "make a key pair for signing", load: () => import("./verbs/keygen.ts") },
  ],
  Help: [
    {
      name: "doctor",
      summary: "check this machine and a cache, and say what to do",
      load: () => import("./verbs/doctor.ts"),
    },
    {
      name: "init",
      summary: "remember the cache and the store of a project in stave.yaml, or write a CI workflow",
      load: () => import("./verbs/init.ts"),
    },
    {
      name: "completion",
      summary: "print the completion script of a shell",
      load: () => import("./verbs/completion.ts"),
    },
  ],
};

/** All verbs. */
export const VERBS: readonly Verb[] = Object.values(VERB_GROUPS).flat();

/** What stave is, in one sentence. */
export const SUMMARY = "Turns an installed Spack environment into container images and back.";

/** What the overview says below the verbs. */
export const EPILOGUE = `
Locations:
  oci://HOST/REPO[:TAG][@DIGEST]       a registry (oci+http:// without TLS; the scheme is optional)
  oci-layout:DIR[:TAG][@DIGEST]        a directory; needs no server
  file:///DIR, s3://BUCKET/FOLDER      a mirror as Spack writes it (also gs://; https://HOST/PATH to read)

Run "stave VERB --help" for the flags and examples of a verb.`;
