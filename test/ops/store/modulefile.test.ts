// Proves that text from a cache stays text in modulefiles: Tcl is run by tclsh, and of Lua nothing is left but calls.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type ModuleContent, moduleText } from "../../../lib/ops/store/modulefile.ts";
import { findProgram } from "../../../scripts/peers.ts";
import { failsWith } from "../../support/errors.ts";

const HOSTILE = [
  "plain /opt/x:y",
  "[exec touch /tmp/ran]",
  "} ; exec touch /tmp/ran ; set x {",
  "$env(HOME) $(id) `id`",
  'a" ; exec id ; "',
  "back\\slash\\",
  "{unbalanced",
  "]] .. os.execute('id') .. [[",
  "line\nexec id\r\u0000\u001b[31m",
  "--[[ ]] os.exit()",
];
const content = (text: string): ModuleContent => ({
  name: text,
  version: text,
  target: text,
  spec: text,
  description: [text, text],
  autoload: [text],
  modifications: [
    { op: "set", name: "SET-IT", value: text },
    { op: "prepend-path", name: "MANPATH", value: text, separator: ":" },
    { op: "append-path", name: "P", value: text, separator: ";" },
    { op: "remove-path", name: "P", value: text, separator: ":" },
    { op: "unset", name: "GONE" },
  ],
});
const skip = findProgram("tclsh") === undefined && "there is no tclsh";

// Stand-ins for the commands of modulefiles, which print their words in hexadecimal.
const STUBS = `set said {}
proc take {name args} {
  foreach one [linsert $args 0 $name] {
    binary scan [encoding convertto utf-8 $one] H* hex
    lappend ::said x$hex
  }
}
foreach name {setenv unsetenv prepend-path append-path remove-path module depends-on module-whatis} {
  interp alias {} $name {} take $name
}
proc exec args { puts "RAN $args" }
`;

test("Tcl gets every text unchanged, and runs nothing of it", { skip }, () => {
  for (const text of HOSTILE) {
    const script = `${STUBS}${moduleText("tcl", content(text))}\nModulesHelp\nputs $said\n`;
    const ran = spawnSync("tclsh", [], { input: script, encoding: "utf8" });
    assert.doesNotMatch(ran.stdout, /RAN/);
    const words = ran.stdout
      .trim()
      .split(" ")
      .map((hex) => Buffer.from(hex.slice(1), "hex").toString("utf8"));
    const expected = [
      ...["module-whatis", text.replaceAll('"', "'"), "module", "load", text, "setenv", "SET_IT", text],
      ...["prepend-path", "MANPATH", text, "append-path", "--delim", ";", "P", text, "remove-path", "P", text],
      ...["unsetenv", "GONE", "append-path", "MANPATH", ""],
    ];
    assert.deepEqual(words, expected, ran.stderr);
  }
});

test("Lua has calls and strings only", () => {
  for (const text of HOSTILE) {
    const code = moduleText("lmod", content(text))
      .split("\n")
      .filter((line) => !line.startsWith("-- "))
      .join("\n")
      .replaceAll(/"(?:[^"\\\n]|\\.)*"|\[\[[^\]]*\]\]/g, "S");
    for (const line of code.split("\n")) assert.match(line, /^(?:|--|[a-z_]+\((?:S(?:, S)*)?\))$/, `${text}: ${line}`);
  }
});

test("a variable that no shell supports is refused", async () => {
  const modifications = [{ op: "set", name: "A B", value: "x" }] as const;
  for (const kind of ["tcl", "lmod"] as const)
    await failsWith("SPEC_INVALID", () => moduleText(kind, { ...content("x"), modifications }));
});
