# Short names for what people and CI do. `make test` and `make demo` work as the first command on a
# machine that has Python 3.11 or newer, make and a package index.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Images often set it. Each of the hundreds of processes that tests start would compile the whole product anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check generate real soak bench lock clean

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# Made anew when dependencies change. The stamp comes last, so a cut installation is repeated.
$(READY): pyproject.toml $(wildcard requirements.lock)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Eventer needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(wildcard requirements.lock),--constraint requirements.lock) --editable '.[dev]'
	@touch $@

demo: $(READY) ## Show the whole path at work; needs no cluster
	$(BIN)/python -m eventer demo $(ARGS)

test: $(READY) ## Run the tests that need nothing but Python, on all cores
	$(BIN)/python -m pytest -n auto $(ARGS)

check: $(READY) ## Lint, format, types, layers, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m eventer.config.generate --check

generate: $(READY) ## Write the generated files
	$(BIN)/python -m eventer.config.generate

real: $(READY) ## Run the tests against real servers; builds those first (Go, Rust, Maven, Java 21; about 22 minutes once)
	$(PYTHON) tests/real/parts/build.py
	$(BIN)/python -m pytest tests/real $(ARGS)

soak: $(READY) ## Hours: 20,000 seeds of the simulation, thousands of examples of each model, the fault rows with times as written, an hour of chaos
	$(PYTHON) tests/real/parts/build.py
	EVENTER_SOAK=1 $(BIN)/python -m pytest -rP tests/simulation tests/unit/journal/test_model.py tests/unit/journal/test_notes_model.py tests/unit/delivery/test_model.py tests/unit/test_intake_model.py tests/unit/alerting/test_reader_model.py tests/real $(ARGS)

bench: $(READY) ## Measure; results go to docs/benchmarks.md by hand
	$(BIN)/python -m tests.bench $(ARGS)

lock: ## Resolve the dependencies anew and write requirements.lock
	rm -rf $(VENV) requirements.lock
	$(MAKE) $(READY)
	$(BIN)/python -m pip freeze --exclude-editable > requirements.lock
	touch $(READY)

clean: ## Remove what was made here; real parts stay in their cache
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
