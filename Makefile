# Everything a person does with this checkout. Each target does the set-up that it needs and says what it cannot do.
# Builds go outside of the checkout, so that a fresh clone finds them again.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ottla
export CARGO_TARGET_DIR ?= $(CACHE)/target
# What ships is static, so that an image needs nothing below it; `up`, `bench` and `image` use the same build.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SHIPPED = $(CARGO_TARGET_DIR)/$(HOST)/release
SHIP = RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target $(HOST) --package ottla-broker --package ottla-operator
MINUTES ?= 10
# The one tool of `verify` that does not come with the toolchain.
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

.PHONY: help up build test e2e image verify licences advisories fix bench bench-rebalance sim sim-planted fuzz clean
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

up: build ## a cluster of local processes from examples/flights
	exec $(SHIPPED)/ottla-operator local -f examples/flights

build: ## the programs as they ship
	$(SHIP)

test: ## every test that needs no Kubernetes
	e2e/clients/install
	e2e/planners/install highspy
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

e2e: build ## tests on Kubernetes: kind, or the cluster of KUBECONFIG
	e2e/clients/install
	cargo test --locked --package ottla-e2e --test cluster --no-run
	OTTLA_BIN_DIR=$(SHIPPED) e2e/run cluster cargo test --locked --offline --package ottla-e2e --test cluster -- --test-threads=1 --nocapture $(E2E_TESTS)

image: build ## ottla:dev, for docker or buildah; saved as a file, too
	OTTLA_BIN_DIR=$(SHIPPED) e2e/image $(CACHE)/ottla-dev.tar

verify: ## decides, and changes nothing
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	e2e/fuzz --check
	cargo test --locked --package ottla-e2e --test tidy -- --include-ignored
	@if $(MAKE) --no-print-directory $(DENY); then $(MAKE) --no-print-directory licences advisories; \
	else echo "SKIPPED licences and advisories. To check them: make licences advisories"; [ "$${CI:-}" != true ]; fi

licences: $(DENY)
	$(DENY) --locked check --hide-inclusion-graph bans licenses sources

# The database of advisories comes from a git host that not every machine reaches.
advisories: $(DENY)
	@if timeout 120 $(DENY) --locked fetch db; then $(DENY) --locked check --disable-fetch advisories; \
	else echo "SKIPPED advisories: their database cannot be fetched here. To check them elsewhere: make advisories"; fi

$(DENY):
	env -u CARGO_TARGET_DIR cargo install --locked --root $(CACHE)/cargo-deny-$(DENY_VERSION) --version $(DENY_VERSION) cargo-deny

fix: ## the only command that rewrites files
	cargo run --package ottla-broker-protocol-codegen
	cargo run --package ottla-operator -- crdgen
	e2e/fuzz --lock
	OTTLA_REFRESH=1 cargo test --package ottla-e2e --test tidy -- --include-ignored chart settings
	cargo fmt --all

bench: build ## start, memory and cost beside a floor program and Apache Kafka
	e2e/clients/install
	OTTLA_BIN_DIR=$(SHIPPED) cargo run --release --locked --package ottla-e2e --bin bench

bench-rebalance: build ## plans beside their bounds and other planners: docs/rebalancing.md
	e2e/clients/install
	e2e/planners/install
	cargo test --release --locked --package ottla-operator-planner --lib -- --include-ignored very_many golden
	OTTLA_BIN_DIR=$(SHIPPED) cargo run --release --locked --package ottla-e2e --bin bench_rebalance -- $(BENCH)

sim: ## simulated failures for MINUTES
	cargo run --release --locked --package ottla-broker-sim -- --minutes $(MINUTES)

sim-planted: ## bugs planted in what ships, and whether the simulator finds each
	e2e/planted $(BUGS)

fuzz: ## made-up bytes for every decoder, for MINUTES in all
	e2e/fuzz $(MINUTES)

clean: ## builds, images and caches
	-e2e/run down
	rm -rf $(CACHE)
