# armvcpu: `make help` explains every target. Nothing here needs root; all that is installed goes to .venv.

VENV   := .venv
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.ready
DEV    := $(VENV)/.dev
SHIM   := armvcpu/engine/shim
NATIVE := $(SHIM)/libarmvcpu.so
JOBS   ?= 2
.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-hostile check format guests docs pictures wheels firmware bench clean

help: ## Show what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@command -v python3 >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv"; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is too old: 3.11 or newer is needed"; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: apt-get install git"; exit 1; }
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@echo "installing armvcpu into $(VENV) ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[testing]'
	@touch $@

# Seven times as much as a user needs, so that `make run` does without.
$(DEV): $(READY)
	@echo "installing what develops and tests armvcpu into $(VENV) ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The editable install compiles it too, but only once. The developers' packages have a compiler for who has none.
$(NATIVE): $(wildcard $(SHIM)/*.c $(SHIM)/*.h) $(SHIM)/build.py | $(READY)
	@command -v $${CC:-cc} >/dev/null || $(MAKE) --no-print-directory $(DEV)
	@$(PYTHON) $(SHIM)/build.py

run: $(NATIVE) ## Boot the hello guest (GUEST=name for another)
	@$(VENV)/bin/armvcpu run guests/bin/$(or $(GUEST),hello).elf

test: $(DEV) $(NATIVE) ## Run the tests (under ten minutes; TESTS=path for some, JOBS=1 in order)
	@$(VENV)/bin/armvcpu firmware fetch chromium gdb-multiarch mtools passt qemu-system-arm
	$(PYTHON) -m pytest -n $(JOBS) -m "not slow" $(TESTS)

test-slow: $(DEV) $(NATIVE) ## Run the tests that take minutes
	$(PYTHON) -m pytest -n $(JOBS) -m slow $(TESTS)

test-hostile: $(DEV) $(NATIVE) ## Attack with hostile inputs (docs/reliability.md; KINDS=elf for one)
	$(PYTHON) tests/hostile $(KINDS)

check: $(DEV) $(NATIVE) ## Check format, lint, types, the C code and layers
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy hatch_build.py
	$(PYTHON) $(SHIM)/build.py --analyze
	$(PYTHON) -m pytest -q tests/test_layers.py

format: $(DEV) ## Format the code and fix what lint can fix
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

guests: $(DEV) ## Build the guests into guests/bin
	$(PYTHON) guests/build.py

docs: $(DEV) ## Build the documentation into build/docs, warnings are errors
	@$(PYTHON) docs/site/sources.py build/docs-source
	@$(PYTHON) -m sphinx -q -W --keep-going -c docs/site build/docs-source build/docs
	@echo "the documentation is build/docs/index.html"

pictures: $(DEV) $(NATIVE) ## Make the documentation's pictures anew, of real runs, in docs/pictures
	@$(PYTHON) docs/site/pictures.py

wheels: $(DEV) ## Build the wheels for Linux on x86-64 and AArch64 into dist
	ARMVCPU_WHEEL=x86_64 $(PYTHON) -m hatchling build -t wheel -d dist
	ARMVCPU_WHEEL=aarch64 $(PYTHON) -m hatchling build -t wheel -d dist

firmware: $(NATIVE) ## Fetch the firmware that the tests boot (Debian's apt)
	$(VENV)/bin/armvcpu firmware fetch u-boot

bench: $(DEV) $(NATIVE) ## Measure against qemu-system-aarch64, in pairs
	$(PYTHON) -m bench

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist $(NATIVE)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
