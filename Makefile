# Every target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
CRATE := --manifest-path sdk/native/Cargo.toml --locked
# cargo links its own tests against the interpreter of the virtual environment
CARGO_ENV = PYO3_PYTHON=$(CURDIR)/$(PYTHON) \
    LD_LIBRARY_PATH=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')

.PHONY: help setup demo test check test-unit test-net test-docs test-ext accept threats cli-page docs nightly fuzz setup-fuzz bench-prover wheel clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup:  ## install all that the rest needs (Debian packages, Python packages, crate, node)
	@.ci/setup

demo: setup  ## the main job on a local network: peg-in, swap, peg-out, recovery, refusals, an operator replaced
	@$(PYTHON) examples/demo.py

test: check test-unit test-net test-docs test-ext  ## linters, types and all tests

check: setup  ## linters, type checks, clippy, lock files
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.tools/bin/uv lock --check --quiet
	cargo fmt --manifest-path sdk/native/Cargo.toml --check
	$(CARGO_ENV) cargo clippy $(CRATE) --release --all-targets --quiet -- -D warnings

test-unit: setup  ## tests without network or processes, and the crate's own
	$(PYTEST) -q -n 2 --dist worksteal -m "not devnet and not docs and not ext and not nightly"
	$(CARGO_ENV) cargo test $(CRATE) --release --quiet

test-net: setup  ## tests with a real node and real operators
	$(PYTEST) -q -m "devnet and not ext and not nightly"

test-docs: setup  ## README, examples, notebooks and docs, all run
	$(PYTEST) -q -n 2 --dist loadfile -m docs

test-ext: setup-fuzz  ## tests that need something more (schemathesis, Node.js with snarkjs); REQUIRE=snarkjs makes a skip a failure
	$(PYTEST) -q -m ext

accept: setup-fuzz  ## one line per promise of each finished piece of work, each computed
	@$(PYTHON) tests/accept.py

threats: setup  ## the threat table with the tests of each row, into docs/threats.md
	@$(PYTHON) tests/threats.py

cli-page: setup  ## what every verb's --help prints, into docs/cli.md
	@$(PYTHON) tests/command_line.py

docs: setup  ## the site, into build/site; notebooks are run where their outputs are old
	@$(PYTHON) tests/site_build.py

nightly: setup-fuzz  ## long campaigns
	$(PYTEST) -q -n 2 --dist worksteal -m nightly

fuzz: setup-fuzz  ## every fuzzer for ten minutes; RUNS=1000000 for a count, TARGET=name for one
	@$(PYTHON) tests/fuzzers.py $(if $(TARGET),"$(TARGET)")

setup-fuzz:
	@.ci/setup fuzz

bench-prover: setup  ## the prover beside arkworks and snarkjs; SIZES="10 14" for some
	@$(PYTHON) benchmarks/prover.py $(if $(SIZES),--sizes $(SIZES))

wheel: setup  ## build the wheel into dist/
	@.tools/bin/uv build --quiet --wheel --no-build-isolation --python $(PYTHON) --out-dir dist

clean:  ## remove what the targets made in this folder
	rm -rf .venv .tools .cache build dist sdk/native/target *.egg-info sdk/*.egg-info sdk/grail/*.so
