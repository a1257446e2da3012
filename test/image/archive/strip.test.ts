// Proves that debug sections are removed only if all that is loaded stays as it is, whatever the program does.
import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type StripTool, strippedCopy } from "../../../lib/image/archive/strip.ts";
import { withSections } from "../../support/elf-sections.ts";
import { loadableElf } from "../../support/loadable-elf.ts";
import { temporaryFolder } from "../../support/tree.ts";

const elf = loadableElf({ soname: "libx.so.1", needed: ["liby.so"], rpath: "/x/lib", text: "code" });
const debug = withSections(elf, { ".symtab": "symbols", ".debug_info": "d".repeat(5000) });
const clean = withSections(elf, { ".symtab": "symbols" });

const folder = temporaryFolder();
let made = 0;

/** A program that writes a file in place of strip, or does something else. */
function tool(output: Buffer | string): StripTool {
  const scratch = join(folder, String(made++));
  mkdirSync(scratch);
  const [program, good] = [`${scratch}-strip`, `${scratch}-output`];
  if (typeof output !== "string") writeFileSync(good, output);
  const work = typeof output === "string" ? output : `cat ${good} > "$3"`;
  writeFileSync(program, `#!/bin/sh\n[ "$1 $2 $4 $#" = "--strip-debug -o /dev/fd/3 4" ] || exit 9\n${work}\n`, {
    mode: 0o755,
  });
  return { program, id: program, scratch };
}

function strip(input: Buffer, { program, ...rest }: StripTool): Buffer | "whole" | undefined {
  const path = join(folder, `input-${made++}`);
  writeFileSync(path, input);
  const fd = openSync(path, "r");
  try {
    const copy = strippedCopy(fd, input.length, { program, ...rest });
    assert.deepEqual(readdirSync(rest.scratch), [], "nothing is left behind");
    assert.deepEqual(readFileSync(path), input, "the file stays");
    if (copy === undefined || copy === "whole") return copy;
    const bytes = readFileSync(copy.fd);
    assert.equal(bytes.length, copy.size);
    closeSync(copy.fd);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

test("a library with debug sections becomes what the program writes", () => {
  assert.deepEqual(strip(debug, tool(clean)), clean);
});

describe("the file stays whole if the program", () => {
  const other = (content: Parameters<typeof loadableElf>[0]): Buffer => withSections(loadableElf(content), {});
  const changed = (at: number): Buffer => {
    const bytes = Buffer.from(clean);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const cases: Record<string, Buffer | string> = {
    "writes nothing": Buffer.alloc(0),
    "writes what is no ELF file": Buffer.from("not an ELF file"),
    "loses a needed library": other({ soname: "libx.so.1", rpath: "/x/lib", text: "code" }),
    "loses the search path": other({ soname: "libx.so.1", needed: ["liby.so"], text: "code" }),
    "changes one loaded byte": changed(elf.indexOf("code")),
    "changes where a program starts": changed(24),
    "changes the machine": changed(18),
    "cuts off the end of what is loaded": elf.subarray(0, elf.length - 100),
    "leaves debug sections": withSections(elf, { ".debug_line": "d" }),
    "writes a larger file": withSections(elf, { ".symtab": "s".repeat(9000) }),
    "fails after it has written": `cat ${folder}/good > "$3"; exit 1`,
    "is killed": "kill -9 $$",
    "makes no file": "true",
    "makes a link": `ln -s ${folder}/good "$3"`,
    "makes a FIFO": 'mkfifo "$3"',
  };
  writeFileSync(join(folder, "good"), clean);
  for (const [name, output] of Object.entries(cases))
    test(name, () => assert.equal(strip(debug, tool(output)), "whole"));

  test("cannot be run", () => assert.equal(strip(debug, { ...tool(clean), program: join(folder, "absent") }), "whole"));
});

test("data behind the ELF file would be lost, so the program is not run", () => {
  assert.equal(
    strip(Buffer.concat([debug, Buffer.from("bytecode of its own")]), tool("exit 0; kill -9 $PPID")),
    "whole",
  );
});

describe("nothing is run for", () => {
  const cases: Record<string, Buffer> = {
    "a library without debug sections": clean,
    "one without sections": elf,
    "an object file": (() => {
      const bytes = Buffer.from(debug);
      bytes.writeUInt16LE(1, 16);
      return bytes;
    })(),
    "a text": Buffer.from("#!/bin/sh\n"),
    "an empty file": Buffer.alloc(0),
    "a table of sections beyond the end": debug.subarray(0, debug.length - 10),
  };
  for (const [name, input] of Object.entries(cases))
    test(name, () => assert.equal(strip(input, tool("kill -9 $PPID")), undefined));
});
