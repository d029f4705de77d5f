# Two commands matter: `make run` and `make test`. Both set everything up by themselves and may be repeated.
# Needs nothing but Python >= 3.11 and make; everything else is locked, hashed and goes into .venv.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
CTL := $(BIN)/animactl

.PHONY: help run test soak lint format bench lock clean
help:
	@echo "make run    set up, start the house in the background, talk to an agent"
	@echo "make test   set up and run the whole test suite"
	@echo "make soak   the longer tests      make bench  the figures      make lint   ruff and mypy"
	@echo "make lock   renew the lock files  make clean  remove what make made (never a home)"

run: $(VENV)/.run
	@$(CTL) status >/dev/null 2>&1 || $(CTL) up --detach
	@$(CTL) list --names | grep -qx anima || $(CTL) create anima
	@if [ -t 0 ] && [ -t 1 ]; then $(CTL) chat anima; else \
		$(CTL) ask anima "Hello! Who are you, and what can you do?" </dev/null && \
		echo && echo "Go on:  $(CTL) chat anima      $(CTL) ask anima \"...\"      $(CTL) status" && \
		echo "Stop:   $(CTL) down"; fi

test: $(VENV)/.test
	@$(BIN)/python -m tests.everything $(ARGS)

soak: $(VENV)/.test
	@$(BIN)/python -m pytest -m soak --timeout 1800 $(ARGS)

lint: $(VENV)/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.test
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: $(VENV)/.test
	@for each in cli journal logline viewport supervision service memory turn hands streaming mneme thymos/figures backup upgrade; do $(BIN)/python bench/$$each.py || exit 1; done

# -- set-up ------------------------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "anima needs Python 3.11 or newer; none was found. Install one, or: make run PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON) (once; about half a minute)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# The second stamp includes the first: a developer's environment can run the house too.
$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q anima daemons
	@touch $@

$(VENV)/.test: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q anima daemons
	@touch $(VENV)/.run $@

# Needs uv (https://docs.astral.sh/uv/); one lock for all systems and all supported versions of Python.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade --group build pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade --group build --group dev --group peers -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find anima daemons tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
