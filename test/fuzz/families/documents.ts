// Fuzzes documents with a schema: manifests, configs, spec files, lock files, credential files, registry responses.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { authFileSchema, findInFile, helperFor, keysFor, readAuthFile } from "../../../lib/auth/auth-file.ts";
import { responseError } from "../../../lib/http/response.ts";
import { readBaseImage } from "../../../lib/image/base-image-reader.ts";
import { canonicalBytes, configSchema, parseBySchema, parseManifest, successors } from "../../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { checkHashes } from "../../../lib/spack/spec/dag-hash.ts";
import { readLockfile } from "../../../lib/spack/spec/lockfile.ts";
import { readSpecFile } from "../../../lib/spack/spec/spec-file.ts";
import { specString, specTag } from "../../../lib/spack/spec/spec-name.ts";
import { writeSpecFile } from "../../../lib/spack/spec/spec-writer.ts";
import { INSTALL_MANIFEST, METADATA_FOLDER, readManifestPrefix } from "../../../lib/spack/store/prefix-metadata.ts";
import { temporaryFolder } from "../../support/tree.ts";
import type { Family } from "../family.ts";
import { goldenFile, imageTexts, specFiles } from "../seeds.ts";

const manifests = imageTexts("manifest", 6);
const configs = imageTexts("config", 3);
const digest = `sha256:${"a".repeat(64)}`;
const index = JSON.stringify({
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests: [{ mediaType: OCI_MANIFEST, digest, size: 2, platform: { os: "linux", architecture: "amd64" } }],
});
const file = join(temporaryFolder(), "f.json");
const prefix = temporaryFolder();
mkdirSync(join(prefix, METADATA_FOLDER));
const JSON_WORDS = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ",",
  ":",
  "null",
  "true",
  "{}",
  "[]",
  "1e400",
  "-1",
  "__proto__",
  '""',
  "\\u0000",
  "\\ud800",
];
const SPEC_WORDS = [
  ...JSON_WORDS,
  '"nodes":',
  '"dependencies":[',
  '"hash":',
  '"parameters":{',
  '"virtuals":',
  '"arch":',
  '"version":',
  '"build_spec":',
  '"external":',
  '"_meta":{"version":4}',
  "a".repeat(32),
];

export const family: Family = {
  name: "documents",
  targets: [
    {
      name: "manifests",
      seeds: [...manifests, index],
      words: [
        ...JSON_WORDS,
        OCI_INDEX,
        OCI_MANIFEST,
        '"mediaType":',
        '"subject":',
        '"layers":',
        '"manifests":',
        digest,
      ],
      run: (input) => {
        const document = parseManifest(input, undefined, "the manifest");
        successors(document);
        const again = parseManifest(canonicalBytes(document.value), document.mediaType, "the manifest");
        // The written forms are compared, because JSON has one zero: -0 is written as 0.
        assert.deepEqual(canonicalBytes(again.value), canonicalBytes(document.value));
      },
    },
    {
      name: "base images",
      seeds: [
        goldenFile("spack-1.2/base-oci/config.json"),
        goldenFile("spack-1.2/base-docker/config.json"),
        ...configs,
      ],
      words: [...JSON_WORDS, '"rootfs":', '"diff_ids":', '"Env":', '"history":', digest],
      run: (input) => {
        const config = parseBySchema(input, configSchema, "the config");
        const layers = config.rootfs.diff_ids.map(() => ({
          mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
          digest,
          size: 1,
        }));
        const manifest = canonicalBytes({
          schemaVersion: 2,
          mediaType: OCI_MANIFEST,
          config: { mediaType: OCI_CONFIG, digest, size: 2 },
          layers,
        });
        readBaseImage({ manifest, config: input, mediaType: OCI_MANIFEST, name: "base" }, "amd64");
      },
    },
    {
      name: "spec files",
      seeds: specFiles(4),
      words: SPEC_WORDS,
      share: { of: 0.5, because: "each is written and read again, with its hashes" },
      run: (input) => {
        const { root, graph, format } = readSpecFile(input, "spec.json");
        specString(root);
        specTag(root);
        if (format < 5 || checkHashes([root]).mismatched.length > 0) return;
        const again = readSpecFile(Buffer.from(writeSpecFile(root, graph)), "spec.json");
        assert.equal(again.root.hash, root.hash);
      },
    },
    {
      name: "lock files",
      seeds: [goldenFile("spack-1.2/spack.lock"), goldenFile("spack-0.23/spack.lock")],
      words: [...SPEC_WORDS, '"roots":[', '"concrete_specs":{', '"lockfile-version":4', '"include_concrete":{'],
      share: { of: 0.25, because: "the seeds are environments of a dozen specs" },
      run: (input) => readLockfile(input, "spack.lock"),
    },
    {
      name: "install manifests",
      seeds: [
        '{"/s/p/bin/x":{"mode":33261,"owner":0,"group":0,"hash":"abc","time":1.5,"size":3},"/s/p":{"mode":16877}}',
      ],
      words: [...JSON_WORDS, '"mode":', '"dest":', "/s/p"],
      share: { of: 0.5, because: "each is written to a file" },
      run: (input) => {
        writeFileSync(join(prefix, INSTALL_MANIFEST), input);
        return readManifestPrefix(prefix);
      },
    },
    {
      name: "credential files",
      seeds: [
        '{"auths":{"ghcr.io":{"auth":"dXNlcjpwYXNz"},"https://index.docker.io/v1/":{"username":"u","password":"p"}}}',
        '{"credsStore":"pass","credHelpers":{"ghcr.io":"gh"},"auths":{"h:5000/a/b":{"identitytoken":"t"}}}',
      ],
      words: [...JSON_WORDS, '"auths":', '"auth":', '"credHelpers":', "https://", "<token>", "Og=="],
      share: { of: 0.5, because: "each is written to a file" },
      run: async (input) => {
        writeFileSync(file, input);
        const found = await readAuthFile(file);
        for (const keys of [keysFor("ghcr.io", "a/b"), keysFor("docker.io", "library/x"), keysFor("h:5000", "a/b/c")]) {
          const known = authFileSchema.parse(found ?? {});
          findInFile(known, keys, file);
          helperFor(known, keys);
        }
      },
    },
    {
      name: "error answers",
      seeds: [
        '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no","detail":{"a":[1]}}]}',
        "<!doctype html><html>",
        "",
      ],
      words: [...JSON_WORDS, '"errors":[', '"code":', '"detail":', "<html"],
      run: async (input) => {
        const error = await responseError(
          { op: "fetch", subject: "a blob", method: "GET", accept: [200], url: new URL("https://h/v2/") },
          {
            status: 500,
            headers: {},
            body: Readable.from([input], { objectMode: false }),
            url: new URL("https://h/v2/"),
          },
        );
        assert.doesNotMatch(error.message, /\p{Cc}/u);
        assert.ok(JSON.stringify(error.toJSON()).length < 200_000);
      },
    },
  ],
};
