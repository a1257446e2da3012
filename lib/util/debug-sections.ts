// Which sections of an ELF file hold debug information, which no program needs to run.
import { type ElfFile, type ElfSection, SHT } from "./elf.ts";

const MOST_NAME_BYTES = 1 << 20;
const DEBUG = /^\.(?:z?debug_|stab|gdb_index|gnu\.debuglto_)/;

/** The debug sections of a file, by their names. Throws UnreadableElf. */
export function debugSections(file: ElfFile): ElfSection[] {
  const sections = file.sections();
  const names = sections[file.nameSection];
  if (names === undefined || names.length > MOST_NAME_BYTES) return [];
  const text = file.read(names.offset, names.length);
  return sections.filter(({ name, type }) => {
    const end = text.indexOf(0, name);
    return type !== SHT.nobits && end > name && DEBUG.test(text.toString("latin1", name, end));
  });
}
