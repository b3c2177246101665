# What a developer types. `make` alone prints this list.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One target directory for everything, so that nothing is built twice.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
BINARY := $(TARGET)/debug/gatehouse
CHROMIUM := /usr/bin/chromium
FAKETIME := /usr/bin/faketime
AUTHLIB := /usr/lib/python3/dist-packages/authlib/__init__.py
# The README's tour is run as it is written, with jq.
JQ := $(or $(shell command -v jq),/usr/bin/jq)
# Taken out of its Debian package and not installed: nothing is to be started on this machine.
PROMETHEUS := $(TARGET)/tools/prometheus/usr/bin
# Property tests from the API document, in an environment of their own.
SCHEMATHESIS_VERSION := 4.32.5
SCHEMATHESIS := $(TARGET)/schemathesis-$(SCHEMATHESIS_VERSION)/bin/schemathesis
# Cargo's own helpers, at one version each, out of the way of what is installed on this machine.
TOOLS := $(TARGET)/tools
CARGO_DENY := $(TOOLS)/cargo-deny-0.20.2/bin/cargo-deny
CARGO_CYCLONEDX := $(TOOLS)/cargo-cyclonedx-0.5.9/bin/cargo-cyclonedx
CARGO_FUZZ := $(TOOLS)/cargo-fuzz-0.13.2/bin/cargo-fuzz
NODE_STAMP := integration-tests/node_modules/.package-lock.json
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help run test test-rust test-end-to-end test-api fuzz-api fuzz torture overload bench bench-quick bench-parts docker docker-smoke check deny sbom

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

run: ## start in dev mode: demo data, demo app, no settings needed (the first build takes minutes)
	@echo "==> building and starting in dev mode"
	@cargo run --locked -- serve --dev

test: test-rust test-end-to-end test-api ## run every test; installs what the tests need

test-rust: ## run the Rust tests
	@echo "==> building and running the Rust tests (the first build takes minutes)"
	@cargo test --locked --workspace

# Built after the Rust tests and by the same profile: what is left to do is to link.
test-end-to-end: $(NODE_STAMP) $(CHROMIUM) $(FAKETIME) $(AUTHLIB) $(JQ) $(PROMETHEUS) ## run the real binary against real clients, a provider and a browser
	@echo "==> building the binary"
	@cargo build --locked
	@echo "==> running the end-to-end tests"
	@cd integration-tests && GATEHOUSE_BIN=$(BINARY) PROMETHEUS_TOOLS=$(PROMETHEUS) npm test

test-api: $(NODE_STAMP) $(SCHEMATHESIS) ## try every operation of the API document as everybody (short, fixed seed)
	@echo "==> building the binary"
	@cargo build --locked
	@echo "==> trying every operation of the API document, by six callers"
	@cd integration-tests && GATEHOUSE_BIN=$(BINARY) SCHEMATHESIS=$(SCHEMATHESIS) node schemathesis/run.mjs

fuzz-api: $(NODE_STAMP) $(SCHEMATHESIS) ## the same with many examples (EXAMPLES=50, SEED=1)
	@cargo build --locked
	@cd integration-tests && GATEHOUSE_BIN=$(BINARY) SCHEMATHESIS=$(SCHEMATHESIS) \
		node schemathesis/run.mjs --phases examples,coverage,fuzzing --examples $(or $(EXAMPLES),50) --seed $(or $(SEED),1)

torture: $(NODE_STAMP) ## load and kill -9 over and over (CYCLES=200, SEED=...); prints what was checked and lost
	@echo "==> building the binary"
	@cargo build --locked
	@cd integration-tests && GATEHOUSE_BIN=$(BINARY) node torture/run.mjs

overload: $(NODE_STAMP) ## four times as much work as there is room for (SECONDS=20, TIMES=4); prints what was answered, refused, held
	@echo "==> building the release binary (the first time takes long)"
	@cargo build --release --locked
	@cd integration-tests && GATEHOUSE_BIN=$(TARGET)/release/gatehouse node overload/run.mjs

$(NODE_STAMP): integration-tests/package-lock.json
	@echo "==> installing the Node packages of the end-to-end tests"
	@cd integration-tests && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(SCHEMATHESIS):
	@echo "==> installing Schemathesis into $(dir $(@D))"
	@python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || { $(AS_ROOT) apt-get update -qq; \
		$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; }
	@python3 -m venv $(dir $(@D))
	@$(@D)/pip install --quiet --disable-pip-version-check schemathesis==$(SCHEMATHESIS_VERSION)

$(CHROMIUM):
	@echo "==> installing Chromium for the end-to-end tests"
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium

$(FAKETIME):
	@echo "==> installing libfaketime for the end-to-end tests"
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends faketime

$(AUTHLIB):
	@echo "==> installing Authlib, a second family of OpenID clients, for the end-to-end tests"
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-authlib python3-requests

$(JQ):
	@echo "==> installing jq for the end-to-end tests"
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends jq

$(PROMETHEUS):
	@echo "==> fetching Prometheus and promtool, which read the metrics in the end-to-end tests"
	@$(AS_ROOT) apt-get update -qq
	@mkdir -p $(TARGET)/tools && rm -f $(TARGET)/tools/prometheus_*.deb
	@cd $(TARGET)/tools && apt-get download -qq prometheus 2>/dev/null && dpkg-deb -x prometheus_*.deb prometheus && rm prometheus_*.deb

docker: ## build the container image gatehouse:local
	@docker build -f docker/Dockerfile -t gatehouse:local .

docker-smoke: ## run the image as compose.yaml does and see whether it keeps its promises
	@docker/smoke gatehouse:local

check: ## check format, lints, walls between crates and slices, file length, licences
	@echo "==> checking the format"
	@cargo fmt --all --check
	@echo "==> checking walls, file length and licences"
	@.ci/walls
	@echo "==> checking the lints (the first time takes minutes)"
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@deny=$$(command -v $(CARGO_DENY) cargo-deny | head -1) || true; if [ -n "$$deny" ]; then \
		echo "==> checking dependencies with cargo-deny"; $$deny --locked check licenses bans sources; fi

deny: $(CARGO_DENY) ## check dependencies with cargo-deny; `make check` does too from then on (building it takes 8 minutes)
	@$(CARGO_DENY) --locked check licenses bans sources

sbom: $(CARGO_CYCLONEDX) ## write what the binary is made of to target/sbom (CycloneDX, JSON)
	@.ci/sbom $(CARGO_CYCLONEDX) $(TARGET)/sbom

fuzz: $(CARGO_FUZZ) ## try every parser of foreign bytes for a minute each (SECONDS=60, NAME=one of them)
	@CARGO_FUZZ=$(CARGO_FUZZ) FOLDER=$(TARGET)/fuzz fuzz/run $(or $(SECONDS),60) $(NAME)

# target/tools/NAME-VERSION/bin/NAME
$(TOOLS)/cargo-%:
	@tool=$(notdir $@); folder=$(abspath $(dir $@)..); version=$${folder##*-}; \
		echo "==> building $$tool $$version (once; takes minutes)"; \
		cargo install --locked --quiet --root $$folder --target-dir $$folder/build $$tool --version $$version; \
		rm -rf $$folder/build

WRK := $(or $(shell command -v wrk),/usr/bin/wrk)

bench: bench-tools ## measure the release binary beside its yardsticks, write docs/bench (about 10 minutes; nothing else may run)
	@cd integration-tests && GATEHOUSE_BIN=$(TARGET)/release/gatehouse GATEHOUSE_BENCH_BIN=$(TARGET)/release/gatehouse-bench node bench/run.mjs

bench-quick: bench-tools ## the same in two minutes: small database, one repeat
	@cd integration-tests && GATEHOUSE_BIN=$(TARGET)/release/gatehouse GATEHOUSE_BENCH_BIN=$(TARGET)/release/gatehouse-bench node bench/run.mjs --quick

# One target directory with the release binary: what both are made of is built once.
bench-parts: ## measure the parts of hot paths by criterion (FILTER=..., nothing else may run)
	@cargo bench --locked --manifest-path bench/Cargo.toml --target-dir $(TARGET) --bench parts -- $(FILTER)

.PHONY: bench-tools
bench-tools: $(NODE_STAMP) $(WRK)
	@echo "==> building the release binary (the first time takes long)"
	@cargo build --release --locked
	@cargo build --release --locked --manifest-path bench/Cargo.toml --target-dir $(TARGET)

$(WRK):
	@echo "==> installing wrk, the load generator"
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk python3
