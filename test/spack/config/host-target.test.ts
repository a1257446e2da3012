// Proves which target a machine has, from the description of its first processor in /proc/cpuinfo. The texts are from
// real machines; archspec 0.2.7 gives the same answers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CPUINFO_LIMIT, hostTarget } from "../../../lib/spack/config/host-target.ts";

type Cpu = Readonly<Record<string, string | readonly string[]>>;

// In the format of /proc/cpuinfo: a key, tabs, a colon and the value; long values are lists of lines here.
function cpuinfo(cpu: Cpu): string {
  const line = ([key, value]: [string, string | readonly string[]]): string =>
    `${key}\t\t: ${typeof value === "string" ? value : value.join(" ")}\n`;
  return Object.entries(cpu).map(line).join("");
}

const MACHINES: { name: string; machine: string; cpu: Cpu; expect: string }[] = [
  {
    name: "skylake_avx512",
    machine: "x86_64",
    cpu: {
      processor: "0",
      vendor_id: "GenuineIntel",
      "model name": "Intel(R) Xeon(R) Gold 6132 CPU @ 2.60GHz",
      flags: [
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx",
        "fxsr sse sse2 ss ht tm pbe syscall nx pdpe1gb rdtscp lm constant_tsc art arch_perfmon pebs bts",
        "rep_good nopl xtopology nonstop_tsc aperfmperf eagerfpu pni pclmulqdq dtes64 monitor ds_cpl vmx",
        "smx est tm2 ssse3 fma cx16 xtpr pdcm pcid dca sse4_1 sse4_2 x2apic movbe popcnt",
        "tsc_deadline_timer aes xsave avx f16c rdrand lahf_lm abm 3dnowprefetch epb cat_l3 cdp_l3",
        "invpcid_single intel_pt tpr_shadow vnmi flexpriority ept vpid fsgsbase tsc_adjust bmi1 hle avx2",
        "smep bmi2 erms invpcid rtm cqm mpx rdt_a avx512f avx512dq rdseed adx smap clflushopt clwb",
        "avx512cd avx512bw avx512vl xsaveopt xsavec xgetbv1 cqm_llc cqm_occup_llc cqm_mbm_total",
        "cqm_mbm_local ibpb ibrs stibp dtherm ida arat pln pts spec_ctrl intel_stibp ssbd",
      ],
    },
    expect: "skylake_avx512",
  },
  {
    name: "haswell",
    machine: "x86_64",
    cpu: {
      processor: "0",
      vendor_id: "GenuineIntel",
      "model name": "Intel(R) Xeon(R) CPU E5-2680 v3 @ 2.50GHz",
      flags: [
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx",
        "fxsr sse sse2 ss ht tm pbe syscall nx pdpe1gb rdtscp lm constant_tsc arch_perfmon pebs bts",
        "rep_good nopl xtopology nonstop_tsc aperfmperf eagerfpu pni pclmulqdq dtes64 monitor ds_cpl vmx",
        "smx est tm2 ssse3 fma cx16 xtpr pdcm pcid dca sse4_1 sse4_2 x2apic movbe popcnt",
        "tsc_deadline_timer aes xsave avx f16c rdrand lahf_lm abm epb invpcid_single tpr_shadow vnmi",
        "flexpriority ept vpid fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid cqm xsaveopt cqm_llc",
        "cqm_occup_llc ibpb ibrs stibp dtherm arat pln pts spec_ctrl intel_stibp",
      ],
    },
    expect: "haswell",
  },
  {
    name: "zen3",
    machine: "x86_64",
    cpu: {
      processor: "0",
      vendor_id: "AuthenticAMD",
      "model name": "AMD Ryzen 9 5950X 16-Core Processor",
      flags: [
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse",
        "sse2 ht syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl nonstop_tsc",
        "cpuid extd_apicid aperfmperf pni pclmulqdq monitor ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes",
        "xsave avx f16c rdrand lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse",
        "3dnowprefetch osvw ibs skinit wdt tce topoext perfctr_core perfctr_nb bpext perfctr_llc mwaitx",
        "cpb cat_l3 cdp_l3 hw_pstate ssbd mba ibrs ibpb stibp vmmcall fsgsbase bmi1 avx2 smep bmi2 erms",
        "invpcid cqm rdt_a rdseed adx smap clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 xsaves cqm_llc",
        "cqm_occup_llc cqm_mbm_total cqm_mbm_local clzero irperf xsaveerptr wbnoinvd arat npt lbrv",
        "svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists pausefilter pfthreshold avic",
        "v_vmsave_vmload vgif umip pku ospke vaes vpclmulqdq rdpid overflow_recov succor smca",
      ],
    },
    expect: "zen3",
  },
  {
    name: "zen4",
    machine: "x86_64",
    cpu: {
      processor: "0",
      vendor_id: "AuthenticAMD",
      "model name": "AMD EPYC 9654 96-Core Processor",
      flags: [
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse",
        "sse2 ht syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl nonstop_tsc",
        "cpuid extd_apicid aperfmperf pni pclmulqdq monitor ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic",
        "movbe popcnt aes xsave avx f16c rdrand lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a",
        "misalignsse 3dnowprefetch osvw ibs skinit wdt tce topoext perfctr_core perfctr_nb bpext",
        "perfctr_llc mwaitx cpb cat_l3 cdp_l3 invpcid_single hw_pstate ssbd mba ibrs ibpb stibp vmmcall",
        "fsgsbase bmi1 avx2 smep bmi2 erms invpcid cqm rdt_a avx512f avx512dq rdseed adx smap avx512ifma",
        "clflushopt clwb avx512cd sha_ni avx512bw avx512vl xsaveopt xsavec xgetbv1 xsaves cqm_llc",
        "cqm_occup_llc cqm_mbm_total cqm_mbm_local avx512_bf16 clzero irperf xsaveerptr wbnoinvd amd_ppin",
        "arat npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists pausefilter",
        "pfthreshold avic v_vmsave_vmload vgif v_spec_ctrl avx512vbmi umip pku ospke avx512_vbmi2 gfni",
        "vaes vpclmulqdq avx512_vnni avx512_bitalg avx512_vpopcntdq la57 rdpid overflow_recov succor smca",
        "fsrm flush_l1d sme sev sev_es",
      ],
    },
    expect: "zen4",
  },
  {
    name: "x86_64_v3",
    machine: "x86_64",
    cpu: {
      processor: "0",
      vendor_id: "GenuineIntel",
      "model name": "Intel(R) Xeon(R) CPU E5-2680 v3 @ 2.50GHz",
      flags: [
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx",
        "fxsr sse sse2 ss ht tm pbe syscall nx pdpe1gb rdtscp lm constant_tsc arch_perfmon pebs bts",
        "rep_good nopl xtopology nonstop_tsc aperfmperf eagerfpu pni pclmulqdq dtes64 monitor ds_cpl vmx",
        "smx est tm2 ssse3 fma cx16 xtpr pdcm pcid dca sse4_1 sse4_2 x2apic movbe popcnt",
        "tsc_deadline_timer xsave avx f16c rdrand lahf_lm abm epb invpcid_single tpr_shadow vnmi",
        "flexpriority ept vpid fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid cqm xsaveopt cqm_llc",
        "cqm_occup_llc ibpb ibrs stibp dtherm arat pln pts spec_ctrl intel_stibp",
      ],
    },
    expect: "x86_64_v3",
  },
  {
    name: "neoverse_n1",
    machine: "aarch64",
    cpu: {
      processor: "0",
      Features: [
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop",
        "asimddp ssbs",
      ],
      "CPU implementer": "0x41",
      "CPU architecture": "8",
      "CPU part": "0xd0c",
    },
    expect: "neoverse_n1",
  },
  {
    name: "ampere1a",
    machine: "aarch64",
    cpu: {
      processor: "0",
      Features: [
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc",
        "dcpop sha3 sm3 sm4 asimddp sha512 asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg dcpodp",
        "flagm2 frint i8mm bf16 rng bti ecv",
      ],
      "CPU implementer": "0xc0",
      "CPU architecture": "8",
      "CPU part": "0xac4",
    },
    expect: "ampere1a",
  },
  {
    name: "power9",
    machine: "ppc64",
    cpu: {
      processor: "0",
      cpu: "POWER9, altivec supported",
    },
    expect: "power9",
  },
  {
    name: "x60",
    machine: "riscv64",
    cpu: {
      processor: "0",
      "model name": "Spacemit(R) X60",
      isa: [
        "rv64imafdcv_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zihintpause_zihpm_zfh_zfhmin_zca_zcd_zba_",
        "zbb_zbc_zbs_zkt_zve32f_zve32x_zve64d_zve64f_zve64x_zvfh_zvfhmin_zvkt_sscofpmf_sstc_svinval_svnap",
        "ot_svpbmt",
      ],
    },
    expect: "x60",
  },
];
for (const { name, machine, cpu, expect } of MACHINES)
  test(`the host is ${name}`, () => assert.equal(hostTarget(machine, cpuinfo(cpu)), expect));

const SKYLAKE = cpuinfo(MACHINES[0]?.cpu ?? {});
const without = (...features: string[]): string =>
  features.reduce((text, feature) => text.replace(new RegExp(` ${feature}\\b`), ""), SKYLAKE);

// From a Neoverse N2, whose features are those of a V2.
const NEOVERSE = [
  "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 asimddp",
  "sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb dcpodp sve2 sveaes svepmull svebitperm svesha3 flagm2 frint",
  "svei8mm svebf16 i8mm bf16 dgh",
].join(" ");

const CHANGED: { name: string; machine: string; text: string; expect: string }[] = [
  {
    name: "the first of several processors counts",
    machine: "x86_64",
    text: `${SKYLAKE}\nflags\t: fpu\n`,
    expect: "skylake_avx512",
  },
  {
    name: "another maker: the generic level",
    machine: "x86_64",
    text: SKYLAKE.replace("GenuineIntel", "Noname"),
    expect: "x86_64_v4",
  },
  { name: "a feature of AVX-512 is missing", machine: "x86_64", text: without("avx512cd"), expect: "skylake" },
  { name: "a feature that no level asks for is missing", machine: "x86_64", text: without("adx"), expect: "x86_64_v4" },
  {
    name: "of two that are as special the one with more features",
    machine: "x86_64",
    text: SKYLAKE.replace(" adx", " adx avx512ifma avx512vbmi sha_ni umip"),
    expect: "cannonlake",
  },
  {
    name: "of two ARMs with the same features the one of its part number",
    machine: "aarch64",
    text: `CPU implementer: 0x41\nCPU part: 0xd49\nFeatures: ${NEOVERSE}\n`,
    expect: "neoverse_n2",
  },
  { name: "nothing is told", machine: "x86_64", text: "", expect: "x86_64" },
  { name: "an emulated ARM", machine: "aarch64", text: SKYLAKE, expect: "aarch64" },
  {
    name: "an ARM of an unknown maker",
    machine: "aarch64",
    text: "CPU implementer: 0xff\nCPU part: 0xd0c\nFeatures: fp\n",
    expect: "aarch64",
  },
  { name: "an emulated POWER", machine: "ppc64le", text: SKYLAKE, expect: "ppc64le" },
  {
    name: "a big-endian POWER8",
    machine: "ppc64",
    text: "cpu\t: POWER8E (raw), altivec supported\n",
    expect: "power8",
  },
  { name: "a RISC-V of SiFive", machine: "riscv64", text: "uarch\t: sifive,u74-mc\n", expect: "u74mc" },
  { name: "a family that archspec does not detect", machine: "s390x", text: "features : esan3\n", expect: "s390x" },
  {
    name: "a machine with the name of a property",
    machine: "constructor",
    text: "__proto__: x\n",
    expect: "constructor",
  },
  {
    name: "flags beyond the limit",
    machine: "x86_64",
    text: `x: ${"y".repeat(CPUINFO_LIMIT)}\n${SKYLAKE}`,
    expect: "x86_64",
  },
];
for (const { name, machine, text, expect } of CHANGED)
  test(name, () => assert.equal(hostTarget(machine, text), expect));
