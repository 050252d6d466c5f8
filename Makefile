# What a user and a developer do here, in one virtual environment that the first command makes.
# Another Python or another place: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
PROCESSES ?= 2

BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUFF := $(BIN)/ruff
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup

.PHONY: help install demo test test-slow test-all check format format-check lint types

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 21

install: $(READY)  ## make the virtual environment (the others do it by themselves)

demo: $(READY)  ## train on a made-up set, convert unseen pictures, show the result: about three minutes
	$(BIN)/translate demo

test: $(READY)  ## the tests
	$(PYTEST)

test-slow: $(READY)  ## the long tests: all models, exports and documents, real processes
	$(PYTEST) -m "slow and not exhaustive"

test-all: $(READY)  ## all tests there are, half an hour more
	$(PYTEST) -m ""

check: format-check lint types test  ## all that has to be clean before a change goes in

format: $(READY)  ## rewrite the files in the common format, and repair what lint can repair
	$(RUFF) check --fix-only --quiet .
	$(RUFF) format .

format-check: $(READY)
	$(RUFF) format --check .

lint: $(READY)  ## ruff
	$(RUFF) check .

types: $(READY)  ## mypy
	$(BIN)/mypy

# An environment that works is kept, whatever made it; the last line is reached only if the installation went through.
$(READY): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null \
		|| { echo "found no '$(PYTHON)': install Python 3.11 or newer, or name one with PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "needs Python 3.11 or newer and '$(PYTHON)' is older: name another with PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "'$(PYTHON)' lacks venv: install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear "$(VENV)"
	@echo "installing into $(VENV): PyTorch is large, this takes a minute or more"
	"$(BIN)/python" -m pip install --editable ".[dev]"
	@touch "$@"
