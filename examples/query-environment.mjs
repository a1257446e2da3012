// Finds specs of a concretized environment: node query-environment.mjs ./env "%gcc@12 ^zlib"
import { parseQuery, readEnvironmentLock, satisfies } from "stave/spack";

const [directory, text] = process.argv.slice(2);
const { graph } = await readEnvironmentLock(directory);
const query = parseQuery(text);
for (const node of graph.nodes())
  if (satisfies(node, graph, query)) console.log(`${node.name}@${node.version}/${node.hash}`);
