# Every target does its own setup; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help install build release image api demo test test-node22 interop lint fmt bench bench-compare fuzz soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: node_modules/.stamp ## install the exact dependencies of the lock file

node_modules/.stamp: package.json package-lock.json
	npm ci --no-fund --no-audit --loglevel=error
	@touch $@

build: install ## build dist/: the command and the library
	npm run --silent build

release: build ## make the files of a release in release/: npm package, executables, checksums, SBOM, changes
	node_modules/.bin/node --import tsx scripts/release.ts release

image: install ## make a container image of stave in release/image, for `stave copy oci-layout:release/image:latest IMAGE`
	node_modules/.bin/node --import tsx scripts/single-file.ts x64 release/stave-linux-x64
	node_modules/.bin/node --import tsx scripts/container-image.ts release/stave-linux-x64 release/image

api: install scripts/api-docs/node_modules/.stamp ## write the reference of the library to docs/api/
	node_modules/.bin/node scripts/api-docs/node_modules/typedoc/bin/typedoc --options scripts/api-docs/typedoc.json

scripts/api-docs/node_modules/.stamp: scripts/api-docs/package-lock.json
	npm ci --no-fund --no-audit --loglevel=error --prefix scripts/api-docs
	@touch $@

site: install api scripts/docs-site/node_modules/.stamp ## build the documents as a site in site/ (SITE_BASE: its path on its host)
	node_modules/.bin/node --import tsx scripts/site.ts

scripts/docs-site/node_modules/.stamp: scripts/docs-site/package-lock.json
	npm ci --no-fund --no-audit --loglevel=error --prefix scripts/docs-site
	@touch $@

demo: install ## build, then demonstrate the main job with the default cache
	npm run --silent build -- --bundle-only
	npm run --silent demo

test: install ## install the peers if possible, type-check, lint and run every test
	npm test --silent

test-node22: install ## run every test with the oldest supported Node
	npm run --silent test:node22

interop: install ## run only the tests against real registries and clients
	npm test --silent -- interop

lint: install ## check types, format and rules
	npm run --silent typecheck
	npm run --silent lint

fmt: install ## format the sources
	npm run --silent fmt

bench: install ## compare timings with other tools on the PATH (BENCH: some benchmarks or profiles)
	npm run --silent build -- --bundle-only
	npm run --silent bench -- $(BENCH)

bench-compare: install ## compare the last two runs of bench
	npm run --silent bench-compare

fuzz: install ## run every parser on 10^6 inputs (FUZZ_COUNT, FUZZ_SEED, FUZZ_ONLY, FUZZ_INPUT, FUZZ_JOBS)
	npm run --silent fuzz

soak: install ## run competing commands for MINUTES=30 and check the results (SOAK_SEED, SOAK_PROCESSES)
	npm run --silent build -- --bundle-only
	npm run --silent soak

clean: ## remove everything that was built
	rm -rf dist schemas man release docs/api stave-cache demo-work fuzz-failures soak-failures
