// Reads an image's manifest and the digests of its layers: node read-image.mjs ghcr.io/org/app:1
import { openTarget } from "stave";
import { parseManifest } from "stave/oci";

const [place] = process.argv.slice(2);
const { target, reference, close } = await openTarget(place);
try {
  const { bytes, descriptor } = await target.fetchManifest(await reference());
  console.log(descriptor.digest);
  const { kind, value } = parseManifest(bytes, descriptor.mediaType, place);
  const parts = kind === "manifest" ? value.layers : value.manifests;
  for (const { digest, size } of parts) console.log(`${digest} ${size} bytes`);
} finally {
  await close();
}
