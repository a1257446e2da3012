// Adds sections to small ELF files, for programs that read them instead of what is loaded.

/** The file, 64-bit and little-endian, with sections behind what is loaded, such as `.debug_info`. */
export function withSections(elf: Buffer, sections: Readonly<Record<string, string>>): Buffer {
  const names = ["", ...Object.keys(sections), ".shstrtab"];
  const table = Buffer.from(names.map((name) => `${name}\0`).join(""));
  const contents = ["", ...Object.values(sections), table.toString("latin1")].map((text) =>
    Buffer.from(text, "latin1"),
  );
  const headers = Buffer.alloc(names.length * 64);
  let at = elf.length;
  let nameAt = 0;
  for (const [index, name] of names.entries()) {
    const content = contents[index] ?? Buffer.alloc(0);
    const header = index * 64;
    if (index > 0) {
      headers.writeUInt32LE(nameAt, header);
      headers.writeUInt32LE(name === ".shstrtab" ? 3 : 1, header + 4);
      headers.writeBigUInt64LE(BigInt(at), header + 24);
      headers.writeBigUInt64LE(BigInt(content.length), header + 32);
      headers.writeBigUInt64LE(1n, header + 48);
    }
    at += content.length;
    nameAt += name.length + 1;
  }
  const out = Buffer.concat([elf, ...contents, headers]);
  out.writeBigUInt64LE(BigInt(at), 40);
  out.writeUInt16LE(64, 58);
  out.writeUInt16LE(names.length, 60);
  out.writeUInt16LE(names.length - 1, 62);
  return out;
}
