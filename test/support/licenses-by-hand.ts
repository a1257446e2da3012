// The licenses of real packages, read by hand in the recipes of Spack's own repository of July 2026: what each recipe
// says about licenses, and which of that holds for a version and its variants.
import type { JsonObject } from "../../lib/spack/text/json-value.ts";

/** One package. */
export interface LicenseByHand {
  readonly name: string;
  readonly version: string;
  readonly parameters?: JsonObject;
  /** Its directives about licenses. */
  readonly directives: readonly string[];
  /** Undefined if none of them applies. */
  readonly license: string | undefined;
}

const AUTOCONF = [
  'license("GPL-3.0-or-later WITH Autoconf-exception-3.0", when="@2.62:", checked_by="x")',
  'license("GPL-2.0-or-later WITH Autoconf-exception-2.0", when="@:2.59", checked_by="x")',
];
const FFMPEG = [
  'license("LGPL-2.1-or-later", when="~gpl", checked_by="x")',
  'license("LGPL-2.1-or-later AND GPL-2.0-or-later", when="+gpl", checked_by="x")',
];
const VALGRIND = ['license("GPL-3.0-only", when="@3.26:")', 'license("GPL-2.0-or-later", when="@:3.25")'];
const MPI4PY = ['license("BSD-3-Clause", when="@4:")', 'license("BSD-2-Clause", when="@:3")'];
const SILO = ['license("BSD-3-Clause", when="license=bsdonly")'];
const BERKELEY_DB = [
  'license("AGPL-3.0-only OR LicenseRef-Oracle-Proprietary", when="@6.0.20:")',
  'license("Sleepycat", when="@:6.0.19", checked_by="x")',
];
const BINUTILS = "GPL-2.0-or-later AND LGPL-2.1-or-later AND GPL-3.0-or-later AND LGPL-3.0-or-later";
const APPTAINER = [
  "BSD-3-Clause AND BSD-3-Clause-LBNL",
  " AND BSD-2-Clause AND Apache-2.0 AND MIT AND MPL-2.0 AND Unlicense",
];

/** The packages. */
export const LICENSES_BY_HAND: readonly LicenseByHand[] = [
  { name: "zlib", version: "1.3.1", directives: ['license("Zlib")'], license: "Zlib" },
  { name: "openssl", version: "3.4.4", directives: ['license("Apache-2.0")'], license: "Apache-2.0" },
  {
    ...{ name: "gcc", version: "15.3.0", directives: ['license("GPL-2.0-or-later AND LGPL-2.1-or-later")'] },
    license: "GPL-2.0-or-later AND LGPL-2.1-or-later",
  },
  {
    ...{ name: "perl", version: "5.42.0", directives: ['license("Artistic-1.0-Perl OR GPL-1.0-or-later")'] },
    license: "Artistic-1.0-Perl OR GPL-1.0-or-later",
  },
  { name: "python", version: "3.13.13", directives: ['license("0BSD")'], license: "0BSD" },
  { name: "ffmpeg", version: "8.0", parameters: { gpl: false }, directives: FFMPEG, license: "LGPL-2.1-or-later" },
  {
    ...{ name: "ffmpeg", version: "8.0", parameters: { gpl: true }, directives: FFMPEG },
    license: "LGPL-2.1-or-later AND GPL-2.0-or-later",
  },
  {
    ...{ name: "autoconf", version: "2.72", directives: AUTOCONF },
    license: "GPL-3.0-or-later WITH Autoconf-exception-3.0",
  },
  {
    ...{ name: "autoconf", version: "2.13", directives: AUTOCONF },
    license: "GPL-2.0-or-later WITH Autoconf-exception-2.0",
  },
  {
    ...{ name: "binutils", version: "2.46.0", directives: [`license("${BINUTILS}", checked_by="x")`] },
    license: BINUTILS,
  },
  {
    ...{ name: "apptainer", version: "1.4.4" },
    directives: [`license("${APPTAINER.join('" "')}", checked_by="x")`],
    license: APPTAINER.join(""),
  },
  { name: "valgrind", version: "3.27.1", directives: VALGRIND, license: "GPL-3.0-only" },
  { name: "valgrind", version: "3.25.1", directives: VALGRIND, license: "GPL-2.0-or-later" },
  { name: "py-mpi4py", version: "4.1.0", directives: MPI4PY, license: "BSD-3-Clause" },
  { name: "py-mpi4py", version: "3.1.6", directives: MPI4PY, license: "BSD-2-Clause" },
  {
    ...{ name: "berkeley-db", version: "18.1.40", directives: BERKELEY_DB },
    license: "AGPL-3.0-only OR LicenseRef-Oracle-Proprietary",
  },
  { name: "berkeley-db", version: "5.3.28", directives: BERKELEY_DB, license: "Sleepycat" },
  {
    ...{ name: "silo", version: "4.11.1", parameters: { license: "bsdonly" }, directives: SILO },
    license: "BSD-3-Clause",
  },
  { name: "silo", version: "4.11.1", parameters: { license: "legacy" }, directives: SILO, license: undefined },
  // Not an identifier of SPDX: documents have it as a comment or a name.
  { name: "hdf5", version: "1.14.5", directives: ['license("custom")'], license: "custom" },
];
