# Needs python >= 3.11 and make; everything else goes to .venv, all state to .state. `make demo` is the place to start.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STATE  := $(CURDIR)/.state
ITEMS  ?= 3000
PORT   ?= 3000

export DAGSTER_HOME := $(STATE)/dagster
export DDB_ASSETS_STATE := $(STATE)

.PHONY: demo test dev lint clean

demo: $(VENV)/installed-demo  ## sandbox tables -> export -> Parquet -> DuckDB, checked to the last row
	$(BIN)/ddb-assets demo --items $(ITEMS)

dev: $(VENV)/installed-demo $(DAGSTER_HOME)/dagster.yaml  ## sandbox, webserver and daemon; Ctrl-C stops all
	@echo "Dagster: http://127.0.0.1:$(PORT)"
	$(BIN)/ddb-assets sandbox --items $(ITEMS) --lake $(STATE)/lake -- $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

test: $(VENV)/installed-test
	$(BIN)/pytest

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(STATE) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(DAGSTER_HOME)/dagster.yaml: ddb_assets/cli/dagster.yaml
	mkdir -p $(@D)
	cp $< $@

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sandbox,ui]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed-demo
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
