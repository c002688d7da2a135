# Every target does its own set-up on a machine with Rust, a C compiler and CPython 3.11 or newer, and is quick the
# second time: what is done leaves a stamp in $(VENV)/.stamps, and sources newer than the stamp undo it.

PYTHON ?= python3
VENV ?= .venv
CARGO_TARGET_DIR ?= target
PROFILE ?= dev-release
FUZZ_CASES ?= 2000
FUZZ_SECONDS ?= 60
PROGRAM ?= examples/tour.py

export CARGO_TARGET_DIR
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# The same interpreter for every cargo command, so that none rebuilds what another built.
export PYO3_PYTHON := $(abspath $(VENV))/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A CI run may not change the locks.
LOCKED := $(if $(CI),--locked)

STAMPS := $(VENV)/.stamps
BUILT_WHEEL := dist/.built-for-$(subst .venv,python,$(notdir $(VENV)))
PIP := $(VENV)/bin/python -m pip install --quiet
RUST := $(shell find crates \( -name '*.rs' -o -name Cargo.toml \) -not -path '*/target/*' 2>/dev/null)
SOURCES := $(RUST) $(wildcard Cargo.toml Cargo.lock) pyproject.toml
MATURIN = VIRTUAL_ENV=$(abspath $(VENV)) $(VENV)/bin/maturin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-rust test-python check conformance versions others bench ecosystem ecosystem-briefly services lint format \
        fuzz fuzz-briefly soak loom docs build wheel requirements clean environment

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)"
	@echo "  Another interpreter: make PYTHON=python3.14 VENV=.venv-3.14 CARGO_TARGET_DIR=target-3.14 test"

# ---- using it ----

run: $(STAMPS)/develop $(STAMPS)/examples ## the tour, or any program: make run PROGRAM=app.py ARGS="..."
	@$(VENV)/bin/epicycle run $(PROGRAM) $(ARGS)

build: $(STAMPS)/develop ## the extension, optimised, in the virtual environment

wheel: $(BUILT_WHEEL) ## a release wheel in dist/
	@ls dist/*.whl

# ---- checking it ----

test: test-rust test-python ## the reactor's tests and the Python tests

test-rust: | environment
	cargo test $(LOCKED) --quiet --no-fail-fast -p epicycle-reactor

test-python: $(STAMPS)/develop $(STAMPS)/test $(STAMPS)/examples
	$(VENV)/bin/python -m pytest $(ARGS)

ecosystem: $(STAMPS)/develop $(STAMPS)/test $(STAMPS)/ecosystem ## real servers and clients, databases and brokers on Epicycle (tests/ecosystem)
	$(VENV)/bin/python -m pytest tests/ecosystem $(ARGS)
	@$(VENV)/bin/python tools/check_docs.py docs/how-to/*.md docs/tutorial/*.md

# Without the loads of thousands of clients. What needs a service that does not answer is skipped here as there.
ecosystem-briefly: $(STAMPS)/develop $(STAMPS)/test $(STAMPS)/ecosystem
	$(VENV)/bin/python -m pytest tests/ecosystem -m "not at_length" $(ARGS)

services: ## databases and brokers for `make ecosystem`, installed and started (Debian, Ubuntu): make services ARGS=redis
	@tools/services.sh $(ARGS)

conformance: $(STAMPS)/develop ## the interpreter's own test.test_asyncio on Epicycle
	$(VENV)/bin/python tests/conformance/run.py $(ARGS)

loom: | environment ## every interleaving of the cross-thread inbox
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom \
	    cargo test $(LOCKED) --quiet --release -p epicycle-reactor --test inbox_loom

lint: $(STAMPS)/lint ## rustfmt, clippy, ruff, mypy
	@tools/lint.sh $(VENV)

format: $(STAMPS)/lint ## rewrite the sources the way lint wants them
	cargo fmt --all
	$(VENV)/bin/ruff check --quiet --fix-only .
	$(VENV)/bin/ruff format --quiet .

# Blocks that need more (requirements/ecosystem.txt, a service) run where that is there, and are named where it is not.
docs: $(STAMPS)/develop $(STAMPS)/examples $(STAMPS)/docs ## what the documents say: links, make targets, Python blocks; and the site, in site/
	@$(VENV)/bin/python tools/check_docs.py
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

check: | environment ## all that CI runs: lint test loom fuzz conformance docs ecosystem, other Pythons, and the total
	+@$(PYTHON) tools/summary.py -- $(MAKE) --no-print-directory --keep-going \
	    lint test loom fuzz-briefly conformance docs ecosystem-briefly others

# What `versions` makes for each of them, and the one that it leaves out.
GOALS ?= test-python conformance
EXCEPT ?=

versions: ## the Python tests and conformance on every CPython 3.11-3.15 found (GOALS=conformance: that alone)
	+@tools/interpreters.sh | { status=0; while read -r version path; do \
	    [ "$$version" != "$(EXCEPT)" ] || continue; \
	    echo "== Python $$version: $$path"; \
	    $(MAKE) --no-print-directory --keep-going PYTHON=$$path VENV=.venv-$$version \
	        CARGO_TARGET_DIR=target-$$version $(GOALS) </dev/null || status=1; \
	  done; exit $$status; }

# An interpreter may come without its tests; the one of .venv may not.
others: | environment
	+@$(MAKE) --no-print-directory versions GOALS=conformance ARGS=--allow-missing \
	    EXCEPT=$$($(VENV)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

fuzz: $(STAMPS)/develop $(STAMPS)/test $(STAMPS)/examples ## the property tests with many cases (FUZZ_CASES=2000), then each target of fuzz/ (FUZZ_SECONDS=60)
	PROPTEST_CASES=$(FUZZ_CASES) cargo test $(LOCKED) --quiet --no-fail-fast --release -p epicycle-reactor
	FUZZ_CASES=$(FUZZ_CASES) $(VENV)/bin/python -m pytest tests/property --timeout 0 $(ARGS)
	tools/fuzz.sh $(FUZZ_SECONDS)

# Two seconds each keep the targets alive; the property tests of the same models run with the other tests.
fuzz-briefly: | environment
	@tools/fuzz.sh --if-possible 2

soak: $(STAMPS)/develop ## reliability for long, for many and under faults: make soak ARGS="--only identity --seconds 10"
	@$(VENV)/bin/python tests/soak/run.py $(ARGS)

bench: $(VENV)-bench/.stamps/bench ## Epicycle beside asyncio, uvloop, rloop: make bench ARGS="--rows echo --repeats 3"
	@$(VENV)-bench/bin/python benches/run.py $(ARGS)

# ---- set-up ----

environment:
	@tools/environment.sh $(PYTHON) $(VENV)

$(STAMPS)/build $(STAMPS)/test $(STAMPS)/lint $(STAMPS)/examples $(STAMPS)/ecosystem $(STAMPS)/docs: $(STAMPS)/%: requirements/%.txt | environment
	@echo "environment: requirements/$*.txt"
	@$(PIP) -r $<
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/develop: $(SOURCES) $(STAMPS)/build
	$(MATURIN) develop $(LOCKED) --quiet --profile $(PROFILE)
	@touch $@

$(BUILT_WHEEL): $(SOURCES) $(shell find python -name '*.py' -o -name '*.pyi' -o -name '*.css' -o -name '*.pem') $(STAMPS)/build
	$(MATURIN) build $(LOCKED) --quiet --release --interpreter $(VENV)/bin/python --out dist
	@touch $@

# The benchmarks measure the wheel that would be shipped, in an environment of their own.
$(VENV)-bench/.stamps/bench: $(BUILT_WHEEL) requirements/bench.txt
	@tools/environment.sh $(PYTHON) $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet -r requirements/bench.txt
	@$(VENV)-bench/bin/python -m pip install --quiet --force-reinstall --no-deps --no-index --find-links dist epicycle
	@mkdir -p $(@D) && touch $@

requirements: | environment ## pin requirements/*.txt anew from the *.in files
	@$(PIP) -r requirements/pin.txt
	@for name in build test lint examples ecosystem docs bench pin; do \
	    $(VENV)/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-annotate \
	        --custom-compile-command "make requirements" --output-file requirements/$$name.txt requirements/$$name.in || exit 1; \
	done

clean: ## what the build made: environments, target, dist, caches
	rm -rf .venv .venv-* $(VENV) $(VENV)-bench target target-* dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f python/epicycle/_epicycle*.so
	find python tests examples tools benches -name __pycache__ -prune -exec rm -rf {} +
