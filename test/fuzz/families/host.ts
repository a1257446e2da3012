// Fuzzes the description of the machine and the user's environment.
import assert from "node:assert/strict";
import { formatCompression, parseCompression } from "../../../lib/image/pack/compression.ts";
import { printable as printableText } from "../../../lib/printable/printable.ts";
import { hostTarget } from "../../../lib/spack/config/host-target.ts";
import { expandUser, osName } from "../../../lib/spack/config/machine.ts";
import { canonicalPath, substitute } from "../../../lib/spack/config/substitute.ts";
import { parseUserVariable } from "../../../lib/spack/environment/run-environment.ts";
import { bytesOfPythonText, pythonText, shownName } from "../../../lib/util/byte-string.ts";
import { hostAt } from "../../support/config-tree.ts";
import type { Family } from "../family.ts";

const host = hostAt("/r", { A: "b", TMPDIR: "/t" });

export const family: Family = {
  name: "host",
  targets: [
    {
      name: "cpuinfo",
      seeds: [
        "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx avx2 bmi1 bmi2 fma f16c movbe\n\n",
        "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\nFeatures\t: fp asimd\n",
        "cpu\t\t: POWER9, altivec supported\n",
      ],
      words: ["flags\t: ", "vendor_id\t: ", ":", "\n", "avx512f ", "0x", "Features\t: "],
      run: (input) => {
        for (const machine of ["x86_64", "aarch64", "ppc64le"])
          assert.match(hostTarget(machine, input.toString("utf8")), /^[a-z0-9_]+$/);
      },
    },
    {
      name: "os-release",
      seeds: ['NAME="Debian"\nID=debian\nVERSION_ID="12"\n', "ID='ubuntu'\nVERSION_ID=24.04\n"],
      words: ["ID=", "VERSION_ID=", '"', "'", "\n", "\\", "#", "=", "$("],
      run: (input) => osName(input.toString("utf8")),
    },
    {
      name: "variables of images",
      seeds: ["A=b", "PATH+=/x", "PATH^=/y", "A="],
      words: ["=", "+=", "^=", "\0", "\n", ":"],
      run: (input) => parseUserVariable(input.toString("utf8")),
    },
    {
      name: "paths of configuration",
      seeds: [
        "$spack/x",
        "~/y",
        "~root",
        "${A}/b",
        "file:///z",
        "$user_cache_path",
        "$tempdir/x",
        "..",
        "$date-$arch-$padding:128",
      ],
      words: ["$", "${", "}", "~", "/", "..", "file:", "%", "$A", "\0", "\\"],
      run: (input) => {
        const text = input.toString("utf8");
        substitute(text, { host });
        expandUser(text, host);
        return canonicalPath(text, undefined, { host });
      },
    },
    {
      name: "names of files",
      seeds: ["plain", "\xff\xfe", "caf\xc3\xa9", "\x1b[31m", "a\nb", "\xed\xa0\x80"].map((name) =>
        Buffer.from(name, "latin1"),
      ),
      words: ["\x1b[", "\n", "\u202e", "\u0085", "\u{1f600}"],
      run: (input) => {
        const bytes = input.toString("latin1");
        assert.equal(bytesOfPythonText(pythonText(bytes)), bytes);
        for (const shown of [shownName(bytes), printableText(pythonText(bytes))]) assert.doesNotMatch(shown, /\p{Cc}/u);
      },
    },
    {
      name: "compressions",
      seeds: ["gzip", "gzip:9", "zstd:19"],
      words: [":", "gzip", "zstd", "00", "1"],
      run: (input) => {
        const compression = parseCompression(input.toString("utf8"));
        assert.deepEqual(parseCompression(formatCompression(compression)), compression);
      },
    },
  ],
};
