// What a tagged image has besides the layers of its specs: views, which are trees of links to them, and a user. Writes
// nothing; reads the base image only if one of these needs it.
import { StaveError } from "../../errors.ts";
import { type AccountFiles, checkUser, homeOf, parseAccount, withAccount } from "../../image/accounts.ts";
import { isOmitted } from "../../image/archive/kept-walk.ts";
import type { BaseImage } from "../../image/base-image-reader.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import { type MadeEntry, type MadeLayer, makeLayer } from "../../image/pack/made-layer.ts";
import type { SlimRules } from "../../image/slim.ts";
import { ImageTree } from "../../loader/image-tree.ts";
import type { LayerEntry, LayerFacts } from "../../loader/layer-facts.ts";
import { printable } from "../../printable/printable.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Store } from "../../spack/store/store.ts";
import { type ByteString, bytesOfText, shownName } from "../../util/byte-string.ts";
import { readLayers } from "../image/image-facts.ts";
import { mergeView, shownConflict } from "../store/view-merge.ts";
import type { ImageView, PlanSettings } from "./options.ts";
import type { PushedView } from "./report.ts";
import { omitOf, slimRules } from "./slim-layers.ts";

/** A layer that holds no specs. */
export interface ExtraLayer {
  readonly layer: ImageLayer;
  readonly made: MadeLayer;
  readonly facts: LayerFacts;
}

/** What a tagged image has besides the layers of its specs. */
export interface ImageExtras {
  /** From the bottom up; above those of specs. */
  readonly layers: readonly ExtraLayer[];
  readonly views: readonly PushedView[];
  /** Replaces the prefixes in a value by their places in the views; undefined without views. */
  readonly project: ((value: string) => string) | undefined;
}

/** How many layers an image has besides those of its base and its specs. */
export function extraLayerCount({ views = [], image }: Pick<PlanSettings, "views" | "image">): number {
  return (views.length > 0 ? 1 : 0) + (image?.addUser === undefined ? 0 : 1);
}

/**
 * Makes the views and the user of a tagged image. Throws USAGE for a user that the base image does not have, CONFLICT
 * if something is in the way, and what reading the base and the prefixes throws.
 */
export async function makeExtras(
  options: PlanSettings,
  base: BaseImage | undefined,
  signal: AbortSignal,
): Promise<ImageExtras> {
  const { views = [], image = {}, store, compression } = options;
  const { user, addUser } = image;
  const { systemPackages: wanted = [] } = options;
  const isNamed = user !== undefined && !/^\d+(?::\d+)?$/.test(user);
  if (views.length === 0 && addUser === undefined && !isNamed && wanted.length === 0)
    return { layers: [], views: [], project: undefined };
  const tree = await readTree(options, base, signal);
  const absent = wanted.filter((name) => !tree?.packages.some((each) => each.name === name));
  if (absent.length > 0) options.progress?.({ type: "warning", text: lacksPackages(absent) });
  const layers: ExtraLayer[] = [];
  const add = (createdBy: string, entries: readonly MadeEntry[]): void => {
    const made = makeLayer(entries, compression);
    const { mediaType, digest, size, diffId } = made;
    layers.push({ made, facts: factsOf(entries), layer: { mediaType, digest, size, diffId, label: "", createdBy } });
  };
  const reports: PushedView[] = [];
  if (views.length > 0) {
    const entries = new Map<ByteString, MadeEntry>();
    const rules = slimRules(options);
    for (const view of views) reports.push(addView(view, { store, tree, entries, rules }));
    add(`stave view ${views.map(({ path }) => path).join(" ")}`, [...entries.values()]);
  }
  let files = accountsIn(tree);
  if (addUser !== undefined) {
    const account = parseAccount(addUser);
    const shell = tree === undefined || tree.find("/bin/sh") ? "/bin/sh" : "/sbin/nologin";
    files = withAccount(files, account, shell);
    const home = bytesOfText(homeOf(account).slice(1));
    const owner = { user: account.user, group: account.group };
    const entries: MadeEntry[] = [
      { kind: "folder", path: "etc" },
      { kind: "file", path: "etc/group", content: Buffer.from(files.group ?? "") },
      { kind: "file", path: "etc/passwd", content: Buffer.from(files.passwd ?? "") },
      { kind: "folder", path: "home" },
      { kind: "folder", path: home, owner },
    ];
    for (const { path } of entries.filter(({ kind }) => kind === "folder")) refuseOther(tree, path, addUser);
    const isThere = (path: ByteString): boolean => tree?.kindOf(path) === "folder" && path !== home;
    add(
      `stave user ${addUser}`,
      entries.filter(({ kind, path }) => kind === "file" || !isThere(path)),
    );
  }
  if (user !== undefined) checkUser(user, files);
  return { layers, views: reports, project: views.length === 0 ? undefined : projection(views, store) };
}

function lacksPackages(absent: readonly string[]): string {
  const names = absent.slice(0, 10).map((name) => printable(name));
  const more = absent.length > 10 ? ` and ${absent.length - 10} more` : "";
  return `packages of the system that spack.yaml wants in the image are not known to be in its base: ${names.join(", ")}${more}`;
}

async function readTree(
  { base: source, facts: memory, progress }: PlanSettings,
  base: BaseImage | undefined,
  signal: AbortSignal,
): Promise<ImageTree | undefined> {
  if (base === undefined || source === undefined) return undefined;
  return new ImageTree(await readLayers(source.target, base.layers, { memory, progress, signal }));
}

function accountsIn(tree: ImageTree | undefined): AccountFiles {
  const text = (path: string): string | undefined => {
    const found = tree?.find(path);
    const said = tree?.text(path);
    if (found === undefined || said === undefined) return undefined;
    if (Buffer.byteLength(said) >= found.entry.size) return said;
    throw new StaveError("TOO_LARGE", `${path} of the base image has ${found.entry.size} bytes`, { subject: path });
  };
  return { passwd: text("/etc/passwd"), group: text("/etc/group") };
}

function refuseOther(tree: ImageTree | undefined, path: ByteString, user: string): void {
  const kind = tree?.kindOf(path);
  if (kind === undefined || kind === "folder") return;
  throw new StaveError(
    "CONFLICT",
    `the user ${user} cannot be added: /${shownName(path)} of the base image is a ${kind}`,
    {
      hint: "use another base image, or run as one of its users with `user`",
    },
  );
}

interface ViewPlace {
  readonly store: Store;
  readonly tree: ImageTree | undefined;
  /** What the layer has so far, by path. */
  readonly entries: Map<ByteString, MadeEntry>;
  /** Those of a slim image: there are no links to what it is without. */
  readonly rules: SlimRules | undefined;
}

function addView({ path, specs }: ImageView, { store, tree, entries, rules }: ViewPlace): PushedView {
  const root = bytesOfText(path).slice(1);
  const isIn = (folder: string): boolean => `${path}/`.startsWith(`${folder}/`);
  if (isIn(store.root))
    throw new StaveError("CONFLICT", `the view ${printable(path)} is inside the store`, {
      hint: "choose another folder, for example /opt/view",
    });
  const installed = specs.filter(({ node }) => store.get(node.hash)?.installed === true);
  const merged = mergeView(store, installed, (node, relative) => {
    const omit = rules && omitOf(rules, node);
    return omit !== undefined && isOmitted(relative, omit);
  });
  let links = 0;
  const add = (entry: MadeEntry): void => {
    const there = entries.get(entry.path)?.kind ?? tree?.kindOf(entry.path);
    if (entry.kind === "folder" && there === "folder") return;
    if (there !== undefined) throw inTheWay(path, entry.path, there === "same" ? "file" : there);
    if (entry.kind === "link") links++;
    entries.set(entry.path, entry);
  };
  const parts = root.split("/");
  for (let length = 1; length <= parts.length; length++)
    add({ kind: "folder", path: parts.slice(0, length).join("/") });
  for (const [relative, { isFolder, source }] of merged.entries) {
    const place = `${root}/${relative}`;
    add(isFolder ? { kind: "folder", path: place } : { kind: "link", path: place, target: source });
  }
  return {
    path,
    specs: installed.map(({ node }) => shortName(node)),
    missing: specs.filter((spec) => !installed.includes(spec)).map(({ node }) => shortName(node)),
    links,
    conflicts: merged.conflicts.map(shownConflict),
  };
}

function inTheWay(view: string, path: ByteString, kind: string): StaveError {
  return new StaveError(
    "CONFLICT",
    `/${shownName(path)} is in the way of the view ${printable(view)}: it is a ${kind} already`,
    {
      subject: view,
      hint: "choose another folder for the view, for example /opt/view",
    },
  );
}

// A spec that is in several views is used through the first.
function projection(views: readonly ImageView[], store: Store): (value: string) => string {
  const places = new Map<string, string>();
  for (const { path, specs } of views)
    for (const { node, at } of specs) {
      const prefix = store.get(node.hash)?.installed ? store.prefixOf(node) : undefined;
      if (prefix !== undefined && !places.has(prefix)) places.set(prefix, at === "" ? path : `${path}/${at}`);
    }
  if (places.size === 0) return (value) => value;
  const escaped = [...places.keys()]
    .sort((a, b) => b.length - a.length)
    .map((prefix) => prefix.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  const pattern = new RegExp(`(?:${escaped.join("|")})(?![^/:;\\s])`, "g");
  return (value) => value.replaceAll(pattern, (prefix) => places.get(prefix) ?? prefix);
}

function factsOf(entries: readonly MadeEntry[]): LayerFacts {
  const all = entries.map((entry): [ByteString, LayerEntry] => {
    if (entry.kind === "folder") return [entry.path, { kind: "folder" }];
    if (entry.kind === "link") return [entry.path, { kind: "link", target: entry.target }];
    return [entry.path, { kind: "file", size: entry.content.length, isExecutable: false }];
  });
  return {
    entries: new Map(all),
    ...{ removed: [], opaque: [], cache: undefined, texts: new Map(), unread: 0, packages: [] },
  };
}
