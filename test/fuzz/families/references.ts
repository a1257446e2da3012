// Fuzzes names of places: references, locations, digests, tags, platforms, registries, proxies.
import assert from "node:assert/strict";
import fc from "fast-check";
import { cacheLocation, splitCache } from "../../../lib/api/places/cache-choice.ts";
import { registryArgument } from "../../../lib/cli/arguments/registry-argument.ts";
import { isLoopback, proxyFor } from "../../../lib/http/addresses.ts";
import { isDigest, parseDigest } from "../../../lib/oci/digest.ts";
import { formatPlatform, matchesPlatform, parsePlatform } from "../../../lib/oci/platform.ts";
import {
  formatLocation,
  formatReference,
  isTag,
  parseLocation,
  parseReference,
  parseTag,
  sanitizeTag,
} from "../../../lib/oci/reference.ts";
import type { Family } from "../family.ts";
import { inputsOf } from "../seeds.ts";

const digest = `sha256:${"a1".repeat(32)}`;
const WORDS = [
  "/",
  ":",
  "@",
  ".",
  "-",
  "_",
  "__",
  "[::1]",
  "localhost",
  "oci://",
  "oci+http://",
  "oci-layout:",
  "docker://",
  `@${digest}`,
  ":5000",
  "%2f",
  "..",
  "user:pass@",
  "?",
  "#",
  "\n",
  "é",
];
const references = [
  ...inputsOf("image_reference"),
  ...inputsOf("image_url"),
  "oci-layout:/a/b:tag",
  `oci-layout:.@${digest}`,
];
const context = { env: {}, cwd: "/", home: "/h" } as never;

export const family: Family = {
  name: "references",
  targets: [
    {
      name: "reference texts",
      seeds: references,
      words: WORDS,
      run: (input) => {
        const read = parseReference(input.toString("utf8"));
        assert.deepEqual(parseReference(formatReference(read)), read);
        // An accepted reference makes a URL that leads where it says.
        const url = new URL(`https://${read.registry}/v2/${read.repository}/`);
        assert.equal(url.pathname, `/v2/${read.repository}/`);
        assert.equal(url.username, "");
      },
    },
    {
      name: "locations",
      seeds: references,
      words: WORDS,
      run: (input) => {
        const read = parseLocation(input.toString("utf8"));
        assert.deepEqual(parseLocation(formatLocation(read)), read);
      },
    },
    {
      name: "cache arguments",
      seeds: [...references, "user/repo", "ghcr.io/o/c", "./x"],
      words: WORDS,
      run: (input) => {
        const text = input.toString("utf8");
        splitCache([text, text], [], "/nonexistent");
        // The name of a mirror would be looked up in the files of this machine.
        if (/[/:]/.test(text)) cacheLocation(text, "fetch", context, () => assert.fail("no mirror was named"));
      },
    },
    {
      name: "registries",
      seeds: ["ghcr.io", "https://ghcr.io/", "oci+http://localhost:5000", "[::1]:5000"],
      words: WORDS,
      run: (input) => {
        const { registry } = registryArgument(input.toString("utf8"));
        assert.ok(registry.length > 0 && !/[/@?#\s]/.test(registry));
      },
    },
    {
      name: "tags and digests",
      seeds: ["latest", "v1.2-3_4", digest, `sha512:${"0".repeat(128)}`, "é"],
      words: WORDS,
      run: (input) => {
        const text = input.toString("utf8");
        // Spack's rule ignores the first character.
        assert.ok(text === "" || /^[.-]/.test(text) || isTag(sanitizeTag(text)), sanitizeTag(text));
        if (isDigest(text)) assert.equal(parseDigest(text), text);
        return parseTag(text);
      },
    },
    {
      name: "platforms",
      seeds: ["linux/amd64", "linux/arm64/v8", "windows/amd64"],
      words: ["/", "linux", "arm", "v7", "-", "."],
      run: (input) => {
        const platform = parsePlatform(input.toString("utf8"));
        assert.deepEqual(parsePlatform(formatPlatform(platform)), platform);
        assert.ok(matchesPlatform(platform, platform));
      },
    },
    {
      name: "proxy exemptions",
      seeds: ["localhost,.example.org,10.0.0.0/8,[::1],*.x:5000,*", "fe80::/10 127.0.0.1", "a,b , c"],
      words: [",", " ", "/", "/33", "/0", ":", "*", ".", "::", "10.0.0.0", "999.1.1.1", "/128"],
      run: (input) => {
        for (const host of ["https://ghcr.io/", "http://10.1.2.3:5000/", "https://[fe80::1]/"])
          proxyFor(new URL(host), { http: "http://p:1", https: "http://p:1", noProxy: input.toString("utf8") });
        isLoopback(input.toString("utf8"));
      },
    },
  ],
  properties: [
    {
      name: "references are read as they were written",
      check: (parameters) => {
        const part = fc.stringMatching(/^[a-z0-9]{1,6}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,6}){0,2}$/);
        const made = fc.record(
          {
            registry: fc.constantFrom("ghcr.io", "localhost:5000", "[::1]:5000", "localhost", "A"),
            repository: fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
            tag: fc.option(fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}$/), { nil: undefined }),
            digest: fc.constantFrom(undefined, parseDigest(digest)),
          },
          { noNullPrototype: true },
        );
        fc.assert(
          fc.property(made, (reference) => assert.deepEqual(parseReference(formatReference(reference)), reference)),
          parameters,
        );
      },
    },
  ],
};
