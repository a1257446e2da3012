// The thread that lays out graphs, so that a large one does not stop the page.
import { Graph, layout } from "@dagrejs/dagre";
import type { LayoutAnswer, LayoutQuestion, Point } from "./layout-message.ts";

const MARGIN = 10;

addEventListener("message", ({ data }: MessageEvent<LayoutQuestion>) => {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 10, ranksep: 46 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of data.nodes) graph.setNode(id, { width, height });
  for (const { from, to } of data.edges) graph.setEdge(from, to);
  layout(graph);
  const nodes = data.nodes.map((node) => ({ ...node, x: graph.node(node.id).x, y: graph.node(node.id).y }));
  const edges = data.edges.map(({ from, to }) => graph.edge(from, to).points ?? []);
  // The measures of the graph leave out edges that go around nodes.
  const points = edges.flat();
  const xs = [...nodes.flatMap(({ x, width }) => [x - width / 2, x + width / 2]), ...points.map(({ x }) => x)];
  const ys = [...nodes.flatMap(({ y, height }) => [y - height / 2, y + height / 2]), ...points.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs) - MARGIN, Math.min(...ys) - MARGIN];
  const moved = ({ x, y }: Point): Point => ({ x: Math.round(x - left), y: Math.round(y - top) });
  const answer: LayoutAnswer = {
    id: data.id,
    width: Math.ceil(Math.max(...xs) - left + MARGIN),
    height: Math.ceil(Math.max(...ys) - top + MARGIN),
    nodes: nodes.map((node) => ({ id: node.id, ...moved(node) })),
    edges: edges.map((edge) => edge.map(moved)),
  };
  postMessage(answer);
});
