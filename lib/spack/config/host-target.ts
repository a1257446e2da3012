// Detects the microarchitecture of this machine from Linux's processor information, with the rules of archspec's
// `cpu/detect.py`.
import { ancestorsOf, familyOf, knownTargets, type TargetDescription, withImplied } from "../spec/microarchitecture.ts";

/** How many bytes of `/proc/cpuinfo` are read: the first few kilobytes describe the first processor. */
export const CPUINFO_LIMIT = 65536;

/**
 * The host's target by Spack's name, from its machine name (`x86_64`) and the text of `/proc/cpuinfo`: the best one
 * that the processor can run. Falls back to the machine's generic target if archspec does not know the processor or the
 * text lacks the data.
 */
export function hostTarget(machine: string, cpuinfo: string): string {
  const processor = FAMILIES.get(machine)?.(firstProcessor(cpuinfo));
  if (!processor) return machine;
  const candidates: Candidate[] = [];
  for (const [name, description] of knownTargets()) {
    const features = withImplied(words(description.features));
    if (familyOf(name) === machine && processor.runs(name, description, features))
      candidates.push({ name, description, rank: [ancestorsOf(name).size, features.length] });
  }
  const generic = best(candidates.filter(({ description }) => description.vendor === "generic"))?.name ?? machine;
  const { part } = processor;
  const samePart = part === "" ? [] : candidates.filter(({ description }) => description.cpupart === part);
  // A processor with a disabled feature still gets at least the best generic level that it reaches.
  const special = (samePart.length > 0 ? samePart : candidates).filter(
    ({ name }) => name !== generic && ancestorsOf(name).has(generic),
  );
  return best(special)?.name ?? generic;
}

interface Candidate {
  readonly name: string;
  readonly description: TargetDescription;
  /** The number of its ancestors and features. */
  readonly rank: readonly [number, number];
}

// The most specific candidate; ties go to the first in archspec's order.
function best(candidates: readonly Candidate[]): Candidate | undefined {
  let top: Candidate | undefined;
  for (const one of candidates)
    if (!top || one.rank[0] > top.rank[0] || (one.rank[0] === top.rank[0] && one.rank[1] > top.rank[1])) top = one;
  return top;
}

interface Processor {
  /** True if code for a target of its own family runs on it. */
  runs(name: string, target: TargetDescription, features: readonly string[]): boolean;
  /** The part number of an ARM processor, empty if unknown; targets with the same number are preferred. */
  readonly part: string;
}

type Fields = ReadonlyMap<string, string>;

const FAMILIES: ReadonlyMap<string, (cpu: Fields) => Processor> = new Map([
  ["x86_64", intel],
  ["aarch64", arm],
  ["ppc64", power],
  ["ppc64le", power],
  ["riscv64", riscv],
]);

function intel(cpu: Fields): Processor {
  const has = new Set(withImplied(words(cpu.get("flags") ?? "")));
  const vendor = cpu.get("vendor_id") ?? "generic";
  const isOurs = (target: TargetDescription): boolean => target.vendor === vendor || target.vendor === "generic";
  return { part: "", runs: (_, target, features) => isOurs(target) && features.every((one) => has.has(one)) };
}

function arm(cpu: Fields): Processor {
  const has = new Set(words(cpu.get("Features") ?? ""));
  const code = cpu.get("CPU implementer") ?? "";
  const vendor = ARM_VENDORS.get(code) ?? code;
  // The text does not say which architecture version a processor implements.
  const isOurs = (name: string, target: TargetDescription): boolean =>
    target.vendor === "generic" ? name === "aarch64" : target.vendor === vendor;
  return {
    part: cpu.get("CPU part") ?? "",
    runs: (name, target, features) => isOurs(name, target) && features.every((one) => has.has(one)),
  };
}

function power(cpu: Fields): Processor {
  const generation = Number(/POWER(\d{1,4})/.exec(cpu.get("cpu") ?? "")?.[1] ?? 0);
  return { part: "", runs: (_, target) => (target.generation ?? 0) <= generation };
}

function riscv(cpu: Fields): Processor {
  const told = cpu.get("uarch");
  const isX60 = told === "spacemit,x60" || cpu.get("model name") === "Spacemit(R) X60";
  const other = isX60 ? "x60" : told;
  const model = told === "sifive,u74-mc" ? "u74mc" : other;
  return { part: "", runs: (name, target) => target.vendor === "generic" || name === model };
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

// The fields of the first processor; an empty line ends it.
function firstProcessor(cpuinfo: string): Fields {
  const fields = new Map<string, string>();
  for (const line of cpuinfo.slice(0, CPUINFO_LIMIT).split("\n")) {
    const colon = line.indexOf(":");
    if (colon >= 0) fields.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    else if (fields.size > 0) break;
  }
  return fields;
}

// ARM vendors by their codes, as far as archspec names them.
const ARM_VENDORS: ReadonlyMap<string, string> = new Map([
  ["0x41", "ARM"],
  ["0x42", "Broadcom"],
  ["0x43", "Cavium"],
  ["0x44", "DEC"],
  ["0x46", "Fujitsu"],
  ["0x48", "HiSilicon"],
  ["0x49", "Infineon Technologies AG"],
  ["0x4d", "Motorola"],
  ["0x4e", "Nvidia"],
  ["0x50", "APM"],
  ["0x51", "Qualcomm"],
  ["0x53", "Samsung"],
  ["0x56", "Marvell"],
  ["0x61", "Apple"],
  ["0x66", "Faraday"],
  ["0x68", "HXT"],
  ["0x69", "Intel"],
  ["0xc0", "Ampere"],
]);
