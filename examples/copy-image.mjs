// Copies an image: node copy-image.mjs ghcr.io/org/app:1 oci-layout:./images:app
import { copy } from "stave";

const [from, to] = process.argv.slice(2);
const { images, bytes } = await copy(from, to);
for (const { tag, digest } of images) console.log(`${tag} ${digest}, ${bytes} bytes were copied`);
