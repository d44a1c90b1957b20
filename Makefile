# Two commands do everything: `make verify` and `make test`. Each sets up .venv on first use and leaves it alone after.
PYTHON ?= python3
BIN := .venv/bin
# A test process a core: more threads in each only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT ?= reports/verify
# torch by its exact pin first: a range may fetch several gigabytes of GPU packages.
TORCH = $(PIP) install $$(grep '^torch==' constraints.txt)

.PHONY: verify install test test-slow lint bench docs rooms compare-laws clean

verify: .venv/installed
	$(BIN)/augscope verify --preset theorem --seeds 20 --out $(OUT)

install: .venv/installed-all

test: .venv/installed-test
	$(PYTEST)

test-slow: .venv/installed-test .venv/installed-docs
	$(PYTEST) -m slow

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/installed-bench
	$(BIN)/python benchmarks/bench.py --json reports/bench.json

docs: .venv/installed-docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

rooms: .venv/bin/python
	$(BIN)/python docs/rooms.py

compare-laws: .venv-compare/installed
	.venv-compare/bin/python benchmarks/compare_laws.py

clean:
	rm -rf .venv .venv-compare reports docs/_build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "augscope needs Python 3.11 or newer, got %s: use make PYTHON=python3.12, say" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

.venv/installed-all: pyproject.toml constraints.txt | .venv/bin/python
	$(TORCH)
	$(PIP) install -c constraints.txt -e '.[images,canvas,explorer,sweep]'
	@touch $@ .venv/installed

.venv/installed-test: pyproject.toml constraints.txt | .venv/bin/python
	$(TORCH)
	$(PIP) install -c constraints.txt -e '.[test,images,explorer,sweep]'
	@touch $@ .venv/installed

.venv/installed-bench: pyproject.toml constraints.txt | .venv/bin/python
	$(TORCH)
	$(PIP) install -c constraints.txt -e '.[images,sweep]'
	@touch $@ .venv/installed

.venv/installed-docs: pyproject.toml constraints.txt | .venv/bin/python
	$(TORCH)
	$(PIP) install -c constraints.txt -e '.[images,docs,sweep]'
	@touch $@ .venv/installed

# Apart from .venv: torchvision wants a torch of its own, with several gigabytes of GPU packages.
.venv-compare/installed: pyproject.toml benchmarks/compare-constraints.txt
	$(PYTHON) -m venv .venv-compare
	.venv-compare/bin/python -m pip --disable-pip-version-check --quiet install -c benchmarks/compare-constraints.txt -e '.[images,compare]'
	@touch $@
