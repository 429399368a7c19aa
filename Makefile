# `make help` lists what there is.

export CARGO_TERM_COLOR ?= auto
CARGO ?= cargo
TARGET := wasm32-wasip2
STARTED := $(shell date +%s)
# Runs what follows its name; `.ci/run` shows how long that took.
PART := .ci/part
# What packs no policies is built soon: without the engines for that.
SOON := --locked --profile demo --no-default-features --package standin

# An engine as a native library, and the seeds of its fuzzer: apart from the host, which is not to have what an engine asks of dependencies.
ENGINE = --package standin-policy-$$engine --package standin-fuzz --no-default-features \
	--features standin-policy-$$engine/native,standin-fuzz/$$engine

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz bench deny component toolchain peers interpreters

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: toolchain ## Build, then run the main job for real on loopback
	@echo "building the host and the component; this takes minutes where nothing is built yet"
	@.ci/building $(CARGO) build $(SOON)
	@built=$$(date +%s); $(CARGO) run --quiet $(SOON) -- demo || exit; now=$$(date +%s); \
		clock() { printf '%d:%02d' $$(($$1 / 60)) $$(($$1 % 60)); }; \
		printf '\nmake demo took %s, of which %s to build\n' $$(clock $$((now - $(STARTED)))) $$(clock $$((built - $(STARTED))))

test: toolchain peers ## fmt, clippy, unit tests, and every end-to-end test through the real component
	$(PART) fmt $(CARGO) fmt --all --check
	$(PART) clippy $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(PART) 'clippy without the policy engines' $(CARGO) clippy --locked --package standin --no-default-features --all-targets -- -D warnings
	for engine in cedar rego; do $(PART) "clippy of $$engine" $(CARGO) clippy --locked $(ENGINE) --all-targets -- -D warnings || exit 1; done
	$(PART) 'core for WebAssembly' $(CARGO) check --locked --package standin-core --target $(TARGET)
	$(PART) build $(CARGO) build --locked --workspace --all-targets
	$(PART) tests $(CARGO) test --locked --workspace
	for engine in cedar rego; do $(PART) "native tests of $$engine" $(CARGO) test --locked $(ENGINE) || exit 1; done

SECONDS ?= 600
TARGETS ?=

fuzz: toolchain interpreters ## Fuzz what comes from outside, SECONDS each (600), all or TARGETS="form jwks" (fuzz/src/lib.rs)
	@fuzz/run $(SECONDS) $(TARGETS)

bench: toolchain ## Measure against the floor; writes target/bench.json (needs wrk)
	@command -v wrk >/dev/null || { echo "make bench needs wrk: apt-get install wrk" >&2; exit 1; }
	$(CARGO) build --release --locked --package standin --package standin-bench
	$(CARGO) build --release --locked --package standin-policy-cedar --features native --example native
	$(CARGO) run --release --quiet --locked --package standin-bench

deny: ## Check licences, bans and sources of the dependencies
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --locked --version 0.20.2
	$(CARGO) deny --all-features check licenses bans sources

component: toolchain ## Write the component to target/standin.wasm
	$(CARGO) run --quiet $(SOON) -- component target/standin.wasm

# The toolchain of rust-toolchain.toml, its parts and the component's target, also where rustup installs nothing by itself.
toolchain:
	@rustc --version >/dev/null 2>&1 || rustup toolchain install --no-self-update
	@rustup target list --installed | grep -qx $(TARGET) || rustup target add $(TARGET)
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# The verifier, the client and the interpreter that are not Rust, and what makes policy modules of JavaScript and of Python.
peers:
	@command -v jq >/dev/null || { echo "make test needs jq, for an independent reader of the audit log" >&2; exit 1; }
	@command -v logrotate >/dev/null || [ -x /usr/sbin/logrotate ] || { echo "make test needs logrotate, for the recipe in docs/audit.md" >&2; exit 1; }
	@command -v npm >/dev/null || { echo "make test needs Node.js with npm, for an independent verifier of the tokens" >&2; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "make test needs Python 3.10 with venv, for a policy in Python" >&2; exit 1; }
	@cd tests/peers && npm ci --silent --no-audit --no-fund
	@$(MAKE) --silent --directory policies/examples/javascript tools
	@$(MAKE) --silent --directory policies/examples/python tools
	@$(MAKE) --silent interpreters

# Rego as others read it.
interpreters:
	@python3 -m pip --version >/dev/null || { echo "make test and make fuzz need Python 3 with pip, for an independent reading of Rego policies" >&2; exit 1; }
	@cd tests/peers && python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --require-hashes --only-binary :all: --ignore-requires-python \
		--upgrade --target python_modules --requirement requirements.txt
