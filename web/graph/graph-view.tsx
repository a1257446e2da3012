// The dependencies of a spec as a picture to click through.
import { useState } from "preact/hooks";
import type { SpecDetails } from "../../lib/catalogue/catalogue-data.ts";
import type { CatalogueLoader } from "../catalogue-loader.ts";
import { count } from "../format.ts";
import { useLoaded } from "../parts/loaded.tsx";
import { specLink } from "../routes.ts";
import { collectPicture, type GraphNode, MOST_NODES, type SpecPicture } from "./graph-model.ts";
import { layOut } from "./layout-client.ts";
import type { LayoutAnswer } from "./layout-message.ts";

const HEIGHT = 28;
/** The width of a letter of the picture's font, at its size. */
const LETTER = 7.3;
/** Letters of a label; the title has all. */
const LONGEST_LABEL = 34;

interface Props {
  readonly loader: CatalogueLoader;
  readonly root: { readonly name: string; readonly spec: SpecDetails };
}

/** The graph around a spec, with a choice of how much of it. */
export function GraphView({ loader, root }: Props) {
  const [levels, setLevels] = useState(1);
  const [hasBuild, setHasBuild] = useState(false);
  const key = `${root.spec.hash} ${levels} ${hasBuild}`;
  const state = useLoaded(key, async () => {
    const load = loader.spec.bind(loader);
    const picture = await collectPicture({ name: root.name, hash: root.spec.hash }, { levels, hasBuild, load });
    const nodes = picture.nodes.map((node) => ({ id: node.hash, width: widthOf(node), height: HEIGHT }));
    return { picture, layout: await layOut({ nodes, edges: picture.edges }) };
  });
  return (
    <div class="graph">
      <div class="controls">
        <label>
          Levels{" "}
          <select value={String(levels)} onChange={(event) => setLevels(Number(event.currentTarget.value))}>
            {[1, 2, 3].map((number) => (
              <option key={number} value={String(number)}>
                {number}
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={hasBuild} onChange={() => setHasBuild(!hasBuild)} /> with build dependencies
        </label>
        <span class="legend">
          <span class="line" /> link, run{" "}
          {hasBuild && (
            <>
              <span class="line dashed" /> only build
            </>
          )}
        </span>
      </div>
      {state === undefined && <p class="loading">Drawing…</p>}
      {state !== undefined && "error" in state && <p class="note">{state.error}</p>}
      {state !== undefined && "value" in state && <Picture {...state.value} root={root.spec.hash} />}
    </div>
  );
}

const labelOf = ({ name, version }: GraphNode): string => {
  const text = version === "" ? name : `${name}@${version}`;
  return text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL - 1)}…` : text;
};
const widthOf = (node: GraphNode): number => Math.ceil(labelOf(node).length * LETTER) + 20;

function Picture({
  picture,
  layout,
  root,
}: {
  readonly picture: SpecPicture;
  readonly layout: LayoutAnswer;
  readonly root: string;
}) {
  const places = new Map(layout.nodes.map((place) => [place.id, place]));
  const label = `Graph of ${count(picture.nodes.length, "spec")}; the lists below have the direct dependencies`;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="canvas" tabIndex={0} aria-label={label}>
        <svg width={layout.width} height={layout.height} viewBox={`0 0 ${layout.width} ${layout.height}`}>
          <title>{label}</title>
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path class="head" d="M0 0L8 4L0 8z" />
            </marker>
          </defs>
          {picture.edges.map(({ from, to, types }, at) => (
            <path
              key={`${from} ${to}`}
              class={(types & 3) === 0 ? "edge build" : "edge"}
              d={curve(layout.edges[at] ?? [])}
              marker-end="url(#arrow)"
            />
          ))}
          {picture.nodes.map((node) => {
            const { x = 0, y = 0 } = places.get(node.hash) ?? {};
            const width = widthOf(node);
            const box = (
              <g transform={`translate(${x - width / 2} ${y - HEIGHT / 2})`}>
                <title>{`${node.name}@${node.version} /${node.hash}`}</title>
                <rect width={width} height={HEIGHT} rx="6" />
                <text x={width / 2} y={HEIGHT / 2 + 4.5} text-anchor="middle">
                  {labelOf(node)}
                </text>
              </g>
            );
            if (node.hash === root || node.version === "")
              return (
                <g key={node.hash} class={node.hash === root ? "node root" : "node missing"}>
                  {box}
                </g>
              );
            return (
              <a key={node.hash} class="node" href={specLink(node)} aria-label={`${node.name}@${node.version}`}>
                {box}
              </a>
            );
          })}
        </svg>
      </section>
      {picture.isCut && <p class="note">Only {MOST_NODES} specs are drawn: choose fewer levels.</p>}
    </>
  );
}

/** A smooth line through the points of an edge. */
function curve(points: LayoutAnswer["edges"][number]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  let text = `M${first.x} ${first.y}`;
  let before = first;
  for (const [at, point] of rest.entries()) {
    const isLast = at === rest.length - 1;
    const middle = isLast ? point : { x: (before.x + point.x) / 2, y: (before.y + point.y) / 2 };
    text += at === 0 ? `L${middle.x} ${middle.y}` : `Q${before.x} ${before.y} ${middle.x} ${middle.y}`;
    before = point;
  }
  return text;
}
