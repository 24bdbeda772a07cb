# `make demo` sets everything up and runs the whole workflow on data it makes itself.
# `make test` passes the tests. Both need Python 3.11 or later and make, nothing else.

PYTHON ?= python3
CORES ?= all
# What `make bench` embeds; the demonstration's voices unless told otherwise.
RECORDINGS ?= results/demo/resources/synthetic/demo
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON_FILES := workflow/scripts tests benchmarks
SNAKE_FILES := Snakefile rules

.PHONY: demo test lock-check lint format bench clean help

help:
	@echo "make demo    set up, then run the whole workflow on a synthetic corpus"
	@echo "make test    set up, then run the tests"
	@echo "make lock-check  check that all pins agree"
	@echo "make lint    check style (ruff, snakefmt, snakemake --lint)"
	@echo "make format  apply the style"
	@echo "make bench   measure speed (benchmarks/README.md)"
	@echo "make clean   remove the environment and the results of the demonstration"

$(READY): requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Consonance needs Python 3.11 or later; run make with PYTHON=/path/to/python3.11."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	touch $(READY)

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) --configfile tests/demo/config.yaml
	@echo
	@echo "The figures are in results/demo/demo/figures, the tables in results/demo/demo/tables."

test: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q -n auto --dist loadgroup

lock-check: $(READY)
	$(BIN)/python -m pytest -q tests/test_environments.py

lint: $(READY)
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/snakefmt --check $(SNAKE_FILES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint --configfile tests/demo/config.yaml

format: $(READY)
	$(BIN)/ruff format $(PYTHON_FILES)
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/snakefmt $(SNAKE_FILES)

bench: $(READY)
	$(BIN)/python benchmarks/frechet.py
	$(BIN)/python benchmarks/probes.py
	$(BIN)/python benchmarks/similarity.py
	$(BIN)/python benchmarks/extraction.py --recordings $(RECORDINGS)

clean:
	rm -rf $(VENV) results/demo
