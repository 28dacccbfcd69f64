# CIFT Markets. `make demo` and `make test` are all that a fresh clone needs; `make help` lists the rest.
# Needed on the machine: make, a C linker, a Rust toolchain with rustfmt and clippy, Python 3.11 or newer.

VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
SYNCED := $(VENV)/.synced

# The first interpreter that runs and is new enough; a version manager's shims may be found and yet not run.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

RUST_SOURCES := Cargo.toml Cargo.lock rust_sim/Cargo.toml rust_sim/build.rs $(shell find rust_sim/src -name '*.rs')
PACKAGE_SOURCES := $(shell find cift -name '*.py' -o -name '*.pyi' -o -name 'py.typed') README.md LICENSE pyproject.toml
EXTENSION := $(wildcard cift/_sim*.so cift/_sim*.pyd)

# One worker per core; tests of one file share what it prepares, so they stay together.
PYTEST_WORKERS ?= logical
PYTEST := $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile

# What the mutable state of the core may not touch (clippy.toml), and what library code may not do.
CLIPPY_LIBRARY := -D warnings -D clippy::unwrap_used -D clippy::panic -D clippy::todo -D clippy::unimplemented
# Tests and benches may use a hash map as a judge, or read a clock.
CLIPPY_ALL := -D warnings -A clippy::disallowed_types -A clippy::disallowed_methods

# An environment that happens to be active is not ours to change.
unexport VIRTUAL_ENV
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never

# Runs $(2) under the heading $(1) and says how long it took.
define step
@echo "== $(1)"; started=$$(date +%s); { $(2); } || exit $$?; echo "-- $(1): $$(($$(date +%s) - started)) s"
endef

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(SYNCED) ## set up, make the demo market, trade it, print the figures, write report.html
	$(BIN)/cift demo

.PHONY: test
test: $(SYNCED) ## set up, then every test of a push: lint, types, cargo, pytest, notebooks, docs, wheel
	$(call step,ruff,$(BIN)/ruff check --no-cache . && $(BIN)/ruff format --check .)
	$(call step,mypy,$(BIN)/mypy --strict $(wildcard cift strategies))
	$(call step,rustfmt,cargo fmt --all --check)
	$(call step,clippy,cargo clippy --locked --workspace --all-targets -- $(CLIPPY_ALL))
	$(call step,clippy with python,cargo clippy --locked --workspace --lib --features python -- $(CLIPPY_LIBRARY))
	$(call step,cargo test,cargo test --locked --workspace)
	$(call step,wheel,$(MAKE) --no-print-directory wheel)
	$(call step,pytest,$(PYTEST))

.PHONY: nightly
nightly: $(SYNCED) ## the tests that only a night has time for
	$(call step,cargo test of the night,cargo test --locked --workspace -- --include-ignored)
	$(call step,pytest of the night,$(BIN)/python -m pytest -m nightly)

.PHONY: lint
lint: $(SYNCED) ## all checks that run nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(wildcard cift strategies)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- $(CLIPPY_ALL)
	cargo clippy --locked --workspace --lib --features python -- $(CLIPPY_LIBRARY)

.PHONY: format
format: $(SYNCED) ## rewrite Python and Rust sources to the project's form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	cargo fmt --all

.PHONY: notebooks
notebooks: $(SYNCED) ## make each notebooks/*.ipynb from the .py beside it, without outputs
	$(BIN)/jupytext --quiet --update --to ipynb notebooks/*.py
	$(BIN)/jupyter nbconvert --log-level WARN --clear-output --inplace notebooks/*.ipynb

.PHONY: readme
readme: $(SYNCED) ## run the README's Python and `cift demo`, and write what they print below them
	$(BIN)/python tests/fences.py README.md

.PHONY: docs
docs: $(SYNCED) ## build the documentation, run its code, into docs/_build/html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: wheel
wheel: dist/.built ## build the manylinux_2_28 wheel into dist/

dist/.built: $(RUST_SOURCES) $(PACKAGE_SOURCES) | $(SYNCED)
	rm -rf dist
	PATH="$(abspath $(BIN)):$$PATH" maturin build --release --locked --zig --compatibility manylinux_2_28 --out dist
	touch $@

# asv builds the commits themselves, so what is not committed is not measured.
ASV := cd asv_bench && PATH="$(abspath $(BIN)):$$PATH" CARGO_TARGET_DIR="$(CURDIR)/target/asv" asv
BENCH ?= .
BASE ?= HEAD^
HEAD ?= HEAD
FACTOR ?= 1.5

.PHONY: bench-machine
bench-machine: $(SYNCED)
	@test -f "$$HOME/.asv-machine.json" || ($(ASV) machine --yes)

.PHONY: bench
bench: bench-machine ## measure the commit HEAD with asv; results go to asv_bench/results (BENCH=regex selects)
	@git diff --quiet HEAD -- cift rust_sim asv_bench || echo "note: uncommitted changes are not measured"
	$(ASV) run --show-stderr --bench '$(BENCH)' '$(HEAD)^!'

.PHONY: bench-quick
bench-quick: $(SYNCED) bench-machine ## run the benchmarks once on the working tree, record nothing
	$(ASV) run --quick --dry-run --show-stderr --python=same --bench '$(BENCH)'

.PHONY: bench-compare
bench-compare: bench-machine ## compare BASE (HEAD^) with HEAD; fails where something is FACTOR (1.5) times slower
	$(ASV) continuous --factor $(FACTOR) --split --show-stderr --bench '$(BENCH)' '$(BASE)' '$(HEAD)'

.PHONY: bench-check
bench-check: $(SYNCED) ## plant a slow-down in a copy and see that bench-compare fails there, and passes without it
	$(BIN)/python -m pytest -m nightly tests/test_bench.py

.PHONY: bench-rust
bench-rust: ## the criterion benches of the core
	cargo bench --locked --workspace

.PHONY: clean
clean: ## remove what was built, the environment too
	rm -rf $(VENV) target dist docs/_build docs/notebooks docs/reference asv_bench/.asv cift/_sim*.so cift/_sim*.pyd report.html

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "no cargo found: install a Rust toolchain (https://rustup.rs), then run make again" >&2; exit 1; }

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/a/newer/one")'
	$(PYTHON) -m venv $(VENV)

$(UV): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The package is installed in place: uv builds the extension into cift/, and only when a Rust source has changed. It does
# not look whether the extension is still there, so one that was deleted is asked for by name.
$(SYNCED): pyproject.toml uv.lock $(RUST_SOURCES) $(if $(EXTENSION),,missing-extension) | toolchain $(UV)
	$(UV) sync --quiet --locked --all-groups $(if $(EXTENSION),,--reinstall-package cift-markets --no-cache)
	touch $@

.PHONY: missing-extension
missing-extension:
