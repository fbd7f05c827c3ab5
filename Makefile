# armvcpu: `make help` explains every target. Nothing here needs root; all that is installed goes to .venv.

VENV   := .venv
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.ready
.DEFAULT_GOAL := help
.PHONY: help run test test-slow check format guests firmware bench clean

help: ## Show what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@command -v python3 >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv"; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is too old: 3.11 or newer is needed"; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: apt-get install git"; exit 1; }
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@echo "installing armvcpu into $(VENV) ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(READY) ## Boot the hello guest (GUEST=name for another)
	@$(VENV)/bin/armvcpu run guests/bin/$(or $(GUEST),hello).elf

test: $(READY) ## Run the tests (under ten minutes; TESTS=path for some)
	@for tool in mcopy:mtools passt:passt qemu-system-aarch64:qemu-system-arm; do command -v $${tool%:*} >/dev/null \
	  || { echo "$${tool%:*} is missing: apt-get install $${tool#*:}"; exit 1; }; done
	$(PYTHON) -m pytest -m "not slow" $(TESTS)

test-slow: $(READY) ## Run the tests that take minutes
	$(PYTHON) -m pytest -m slow $(TESTS)

check: $(READY) ## Check format, lint, types and layers
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PYTHON) -m pytest -q tests/test_layers.py

format: $(READY) ## Format the code and fix what lint can fix
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

guests: $(READY) ## Build the guests into guests/bin
	$(PYTHON) guests/build.py

firmware: $(READY) ## Fetch the firmware that the tests boot (Debian's apt)
	$(VENV)/bin/armvcpu firmware fetch u-boot

bench: $(READY) ## Measure against qemu-system-aarch64, in pairs
	$(PYTHON) -m bench

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
