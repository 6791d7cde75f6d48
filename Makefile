# Netra's commands. `make help` lists them. Each installs missing tools that it needs, so the first call takes longest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The steps share cargo's target folder, so they run one at a time even with -j.
.NOTPARALLEL:
.PHONY: help run build watch test lint unit client front-ends wasm-test schema schema-update e2e screenshots visual e2e-dev bench bench-page bench-peers fmt prices tools test-tools databases chaos frameworks model clean

export PATH := $(HOME)/.cargo/bin:$(CURDIR)/end2end/node_modules/.bin:$(PATH)

NETRA := target/release/netra
# Marks target/site as a release build: every other build of the page, such as that of cargo-leptos, empties the folder first.
BUILT := target/site/.release
SOURCES := $(shell find Cargo.toml Cargo.lock rust-toolchain.toml src style public migrations shared scripts/bindgen -not -name '.*' 2>/dev/null) \
	.cargo/config.toml scripts/build scripts/site.mjs end2end/package-lock.json
WASM := --target wasm32-unknown-unknown --no-default-features --features hydrate

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build for release, start the server with its store under data/, and print one link (ARGS="--listen 0.0.0.0:80" for other flags)
	@exec $(NETRA) serve $(ARGS)

build: $(BUILT) ## Build for release: target/release/netra and target/site

# Its time is the beginning of the build, so that a source that changes during the build is newer and is built next time.
$(BUILT): $(SOURCES)
	@mkdir -p target && touch target/.build-began
	scripts/build
	@touch -r target/.build-began $@

watch: tools ## Rebuild and restart at every change of a source; open pages reconnect
	cargo leptos watch -- serve $(ARGS)

test: lint unit client wasm-test schema e2e ## Run all checks and tests: lint, unit, client, wasm-test, schema, e2e

lint: test-tools ## Check formatting, that imports only point down, shell scripts, TypeScript and clippy
	cargo fmt --check
	cargo fmt --check --manifest-path scripts/bindgen/Cargo.toml
	cargo fmt --check --manifest-path benches/peers/Cargo.toml
	node scripts/imports.mjs
	if command -v shellcheck >/dev/null; then shellcheck .ci/run $(filter-out %.mjs %.py scripts/bindgen,$(wildcard scripts/*)); else echo "shellcheck is not installed: scripts not checked"; fi
	npm run --prefix end2end --silent check
	npm run --prefix clients/typescript --silent check
	cargo clippy --locked --features ssr --all-targets -- -D warnings
	cargo clippy --locked $(WASM),split --lib --test browser -- -D warnings

unit: databases ## Test the server and the shared code: unit, integration and documentation tests
	cargo test --locked --features ssr --doc
	if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --features ssr; \
	else cargo test --locked --features ssr --lib --bins --tests; fi

client: target/debug/netra test-tools ## Test the TypeScript client with a real server and interrupted connections
	NETRA="$(abspath target/debug/netra)" npm test --prefix clients/typescript

# Not in CI: installing takes 900 MB and about three minutes, most of it for CopilotKit. Netra's client is installed again in each front end.
front-ends: target/debug/netra test-tools ## Test CopilotKit, assistant-ui and TanStack AI in a real browser (installs 900 MB; not in CI)
	npm run --prefix clients/typescript pretest
	for folder in . assistant-ui copilotkit tanstack; do (cd clients/front-ends/$$folder && rm -rf node_modules/netra-client && npm install --no-audit --no-fund); done
	npm run --prefix clients/front-ends check
	CHROMIUM_PATH="$$(scripts/browser)" NETRA="$(abspath target/debug/netra)" npm test --prefix clients/front-ends -- $(ARGS)

databases:
	@scripts/databases

# The fault tests of `make unit`, with more faults and clients, and an outage of NATS for a minute.
chaos: databases ## Run the fault tests with many faults (ROUNDS=10, NETRA_CHAOS_SEED=7, NETRA_CHAOS_FAULTS, NETRA_CHAOS_CLIENTS, ARGS="start of a test's name")
	for round in $$(seq $${ROUNDS:-1}); do \
	NETRA_CHAOS_FAULTS="$${NETRA_CHAOS_FAULTS:-10000}" NETRA_CHAOS_CLIENTS="$${NETRA_CHAOS_CLIENTS:-5000}" \
	NETRA_CHAOS_BUS_AWAY_MS="$${NETRA_CHAOS_BUS_AWAY_MS:-60000}" \
	cargo test --locked --features ssr --test integration -- faults::$(ARGS) --skip runner:: --test-threads=1 --nocapture; done

frameworks: ## Test conversations with applications of all agent frameworks (installs them from PyPI; ARGS="adk" for one; `make unit` has the quick ones)
	cargo test --locked --features ssr --test integration -- frameworks::$(ARGS) --skip agui:: --include-ignored --test-threads=2

model: ## Serve a small language model on this machine with OpenAI's API (PORT=8081)
	@scripts/model

wasm-test: test-tools ## Run the page's Rust tests in a real browser
	scripts/browser >/dev/null
	CHROMEDRIVER="$${CHROMEDRIVER:-$$(command -v chromedriver)}" \
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
	cargo test --locked $(WASM) --test browser

# Built together with the tests, so that every dependency has the same features and is compiled once.
target/debug/netra: FORCE
	cargo build --locked --features ssr --bins --tests
FORCE:

schema: target/debug/netra ## Check that shared/schema.json matches the types it is generated from
	diff -u shared/schema.json <($< schema) || { echo "error: shared/schema.json does not match the types; run 'make schema-update' and check the difference" >&2; exit 1; }
	@echo "shared/schema.json matches the types"

schema-update: target/debug/netra ## Generate shared/schema.json
	$< schema >shared/schema.json.new
	mv shared/schema.json.new shared/schema.json

e2e: $(BUILT) test-tools ## Test the release build in a real browser (ARGS="auth.spec.ts --project phone" for a part)
	CHROMIUM_PATH="$$(scripts/browser)" FIREFOX_PATH="$$(scripts/browser firefox)" NETRA="$(abspath $(NETRA))" npm test --prefix end2end -- $(ARGS)

screenshots: $(BUILT) test-tools ## Take the README's pictures (docs/pictures)
	CHROMIUM_PATH="$$(scripts/browser)" NETRA="$(abspath $(NETRA))" npm run --prefix end2end --silent screenshots

visual: $(BUILT) test-tools ## Compare the main states of the page with pictures of this machine (ARGS=--update-snapshots takes them)
	CHROMIUM_PATH="$$(scripts/browser)" NETRA="$(abspath $(NETRA))" npm run --prefix end2end --silent visual -- $(ARGS)

e2e-dev: tools ## Test a debug build in a real browser: builds faster than e2e
	cargo leptos build
	CHROMIUM_PATH="$$(scripts/browser)" FIREFOX_PATH="$$(scripts/browser firefox)" NETRA="$(abspath target/debug/netra)" npm test --prefix end2end -- $(ARGS)

bench: $(BUILT) databases ## Benchmark appends on both databases, the cost of an entry, and a server over real sockets (docs/performance.md)
	cargo bench --locked --features ssr --bench wire --bench log --bench runs --bench search
	scripts/bench

bench-page: $(BUILT) test-tools ## Measure the page in Chromium: loading, streaming, typing, also on a slow CPU (docs/performance.md; REPEATS=3, ARGS="streaming")
	CHROMIUM_PATH="$$(scripts/browser)" NETRA="$(abspath $(NETRA))" npm run --prefix end2end --silent bench -- $(ARGS)

bench-peers: $(BUILT) ## Compare the server with two that neither authenticate nor store (docs/performance.md; ROUNDS=5)
	cargo build --locked --release --manifest-path benches/peers/Cargo.toml --target-dir target/peers
	node scripts/bench-peers.mjs

fmt: ## Format the sources
	cargo fmt
	cargo fmt --manifest-path scripts/bindgen/Cargo.toml
	cargo fmt --manifest-path benches/peers/Cargo.toml

prices: ## Update src/analyst/prices.json, the analyst's price table, from the newest litellm on PyPI (VERSION=1.110.2 for another)
	@scripts/prices

tools: ## Install missing tools in the pinned versions (including cargo-leptos, which only watch and e2e-dev need)
	@scripts/tools all

test-tools:
	@scripts/tools

clean: ## Remove all build output (not data/)
	rm -rf target end2end/node_modules end2end/test-results end2end/playwright-report $(addprefix clients/typescript/,node_modules build dist) \
		clients/front-ends/test-results $(foreach folder,. assistant-ui copilotkit tanstack,clients/front-ends/$(folder)/node_modules)
