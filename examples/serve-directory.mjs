// Serves a directory as a registry until Ctrl-C: node serve-directory.mjs ./images
import { createRegistry } from "stave/serve";

const [directory] = process.argv.slice(2);
const registry = await createRegistry({ directory, readOnly: true });
const { url } = await registry.listen({ host: "127.0.0.1", port: 0 });
console.log(url);
process.once("SIGTERM", () => registry.close());
process.once("SIGINT", () => registry.close());
