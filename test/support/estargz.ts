// The reference implementation of eStargz, built from its Go module to verify layers.
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../scripts/peers.ts";
import { run } from "./peers.ts";

const MODULE = "github.com/containerd/stargz-snapshotter/estargz@v0.19.1";
const PROGRAM = `package main

import (
	"fmt"
	"io"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
	digest "github.com/opencontainers/go-digest"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	file, err := os.Open(os.Args[1])
	must(err)
	stat, err := file.Stat()
	must(err)
	reader, err := estargz.Open(io.NewSectionReader(file, 0, stat.Size()))
	must(err)
	verifier, err := reader.VerifyTOC(digest.Digest(os.Args[2]))
	must(err)
	root, _ := reader.Lookup("")
	files, chunks := 0, 0
	var walk func(entry *estargz.TOCEntry)
	walk = func(entry *estargz.TOCEntry) {
		entry.ForeachChild(func(_ string, child *estargz.TOCEntry) bool {
			walk(child)
			return true
		})
		if entry.Type != "reg" || entry.Size == 0 {
			return
		}
		files++
		opened, err := reader.OpenFile(entry.Name)
		must(err)
		for at := int64(0); at < entry.Size; chunks++ {
			chunk, found := reader.ChunkEntryForOffset(entry.Name, at)
			if !found {
				must(fmt.Errorf("%s has no chunk at %d", entry.Name, at))
			}
			check, err := verifier.Verifier(chunk)
			must(err)
			_, err = io.Copy(check, io.NewSectionReader(opened, chunk.ChunkOffset, chunk.ChunkSize))
			must(err)
			if !check.Verified() {
				must(fmt.Errorf("%s is wrong at %d", entry.Name, at))
			}
			at += chunk.ChunkSize
		}
	}
	walk(root)
	fmt.Printf("%d files %d chunks\\n", files, chunks)
}
`;

/** Builds the program, or finds the one of an earlier run; a text says why that is not possible. */
export async function estargzVerifier(): Promise<{ readonly program: string } | string> {
  if (findProgram("go") === undefined) return "go is not on the PATH";
  // Kept between runs.
  const folder = join(tmpdir(), `stave-estargz-${MODULE.split("@")[1]}`);
  const program = join(folder, "verify");
  if (existsSync(program)) return { program };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.go"), PROGRAM);
  writeFileSync(join(folder, "go.mod"), "module verify\n\ngo 1.23\n");
  const made = join(folder, `verify-${process.pid}`);
  try {
    const env = { GOFLAGS: "-buildvcs=false -mod=mod", GOTOOLCHAIN: "local" };
    await run("timeout", ["100", "go", "-C", folder, "get", MODULE], env);
    await run("timeout", ["100", "go", "-C", folder, "build", "-o", made, "."], env);
  } catch (error) {
    return `${MODULE} cannot be built: ${String(error).slice(0, 500)}`;
  }
  renameSync(made, program);
  return { program };
}
