// Lists the installed specs of a store: node list-store.mjs /opt/software
import { openStore } from "stave";

const [root] = process.argv.slice(2);
const store = await openStore(root, { environment: false });
for (const { node, installed, path } of store.records())
  if (installed) console.log(`${node.name}@${node.version} ${path}`);
