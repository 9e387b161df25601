# Needs Python >= 3.11 and make. Packages go to .venv, all state goes to .state. Start with `make demo`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STATE  := $(CURDIR)/.state
ITEMS  ?= 3000
PORT   ?= 3000
SCHEDULES ?= 10000
BENCH  ?=
# two more than there are cores, because tests wait for daemons and servers
CORES   := $(shell $(PYTHON) -c 'import os; print(os.cpu_count() or 1)')
WORKERS := $(shell expr $(CORES) + 2)

export DAGSTER_HOME := $(STATE)/dagster
export DDB_ASSETS_STATE := $(STATE)
# Containers often set it. Then each of some hundred processes would compile the project again, and pytest its tests.
unexport PYTHONDONTWRITEBYTECODE

KERNEL := $(wildcard ddb_assets/flatten/kernel/*.hpp ddb_assets/flatten/kernel/*.cpp)

.PHONY: demo test test-fast soak soak-stream soak-writing soak-exactness fuzz guards dev lint lock bench clean

demo: $(VENV)/installed-$(if $(filter clickhouse postgres,$(WAREHOUSE)),test,demo)  ## sandbox tables -> export -> Parquet -> DuckDB (or WAREHOUSE=redshift, clickhouse, postgres); every count is checked. STREAM=1: a stream
	$(BIN)/ddb-assets demo --items $(ITEMS) $(if $(WAREHOUSE),--$(WAREHOUSE)) $(if $(STREAM),--stream)

# The sandbox's tables are new each time. Exports and loads of the previous tables would break every chain, so the state is
# deleted too. The port is checked first, because somebody may be using that state if the port is in use.
DEV := $(STATE)/dev-$(PORT)
dev: export DAGSTER_HOME := $(DEV)/dagster
dev: export DDB_ASSETS_STATE := $(DEV)
dev: $(VENV)/installed-demo  ## sandbox, webserver and daemon with new, empty state; Ctrl-C stops everything
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || \
		{ echo "port $(PORT) is in use: stop what runs there, or make dev PORT=3001"; exit 1; }
	rm -rf $(DEV)
	mkdir -p $(DAGSTER_HOME)
	cp ddb_assets/cli/dagster.yaml $(DAGSTER_HOME)
	@echo "starting the sandbox with its demo tables, then Dagster: half a minute until http://127.0.0.1:$(PORT) answers"
	@echo "there: Jobs, ddb_assets_initial_load, Materialize all; Ctrl-C here stops everything"
	$(BIN)/ddb-assets sandbox --items $(ITEMS) $(if $(STREAM),--stream) -- $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

test: $(VENV)/spark.jsa
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/installed-test  ## tests that are pure or small: no server, no browser, nothing slow
	$(BIN)/pytest -n $(CORES) --dist worksteal -m "not slow and not server and not browser"

SOAK_IN := ddb_assets_tests/model ddb_assets_tests/warehouse ddb_assets_tests/planning ddb_assets_tests/recovery
soak: $(VENV)/installed-test  ## the random tests of windows, loads and plans, SCHEDULES times
	SOAK=$(SCHEDULES) $(BIN)/pytest -m soak $(SOAK_IN)

soak-stream:  ## tables with streams that lose, repeat, disorder and delay, SCHEDULES times
	$(MAKE) soak SOAK_IN='ddb_assets_tests/model/test_live_model.py ddb_assets_tests/streams ddb_assets_tests/scans'

soak-writing:  ## imports and copies under faults and kill -9
	$(MAKE) soak SOAK_IN='ddb_assets_tests/bulk ddb_assets_tests/imports ddb_assets_tests/copies'

soak-exactness:  ## random items flattened and rebuilt
	$(MAKE) soak SOAK_IN=ddb_assets_tests/flatten

FUZZ_SECONDS ?= 300
fuzz: $(VENV)/installed-test  ## damaged blocks for the kernel, under AddressSanitizer and UndefinedBehaviorSanitizer; needs g++ or clang++
	$(BIN)/python -m ddb_assets_tests.flatten.kernel.fuzz --seconds $(FUZZ_SECONDS)

guards: $(VENV)/installed-test  ## takes each guard of a load out of a copy, and runs the test that must then fail
	$(BIN)/python -m ddb_assets_tests.guards

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# With --upgrade all packages get their newest versions; without it only those that setup.cfg does not allow any more, and new ones.
UPGRADE ?=
UV      := $(STATE)/uv/bin/uv
COMPILE := UV_CUSTOM_COMPILE_COMMAND='make lock' $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras $(if $(UPGRADE),--upgrade)
# what builds the project, which is installed without a build environment of its own
BUILD   := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
lock: $(UV)  ## writes requirements/*.txt again from setup.cfg, for every Python and system; UPGRADE=1: with the newest versions
	$(PYTHON) -c '$(BUILD)' | $(COMPILE) setup.cfg - --extra test --output-file requirements/test.txt
	$(PYTHON) -c '$(BUILD)' | $(COMPILE) setup.cfg - --extra redshift --extra sandbox --extra ui \
		--constraints requirements/test.txt --output-file requirements/demo.txt

$(UV):
	$(PYTHON) -m venv $(STATE)/uv
	$(STATE)/uv/bin/python -m pip install --quiet 'uv>=0.13,<0.14'

bench: $(VENV)/installed-test $(if $(BENCH_ALL),$(VENV)/installed-bench-all)  ## BENCH_ALL=1: PySpark, dlt too; BENCH='--megabytes 1000'; then writing, loading, following a stream, and reloading 50 tables
	$(BIN)/python -m ddb_assets_tests.bench $(BENCH)
	$(BIN)/python -m ddb_assets_tests.bench.writing
	$(BIN)/python -m ddb_assets_tests.bench.loading
	$(BIN)/python -m ddb_assets_tests.bench.warehouses
	$(BIN)/python -m ddb_assets_tests.bench.following
	$(BIN)/python -m ddb_assets_tests.bench.reload
	$(BIN)/python -m ddb_assets_tests.bench.spark

clean:
	rm -rf $(VENV) $(STATE) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# Every package has one version and the hashes of its files, so nothing else can be installed. `make lock` writes the files.
INSTALL := $(BIN)/python -m pip install --quiet
LOCKED  := $(INSTALL) --require-hashes --no-deps -r

$(VENV)/installed-demo: setup.cfg pyproject.toml requirements/demo.txt $(KERNEL) | $(BIN)/python
	@echo "installing ddb_assets and its packages into $(VENV): a minute or two, the first time only"
	$(LOCKED) requirements/demo.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from ddb_assets.flatten import fast_path; fast_path.kernel or print(fast_path.SLOW)'
	touch $@

$(VENV)/installed-test: $(VENV)/installed-demo requirements/test.txt
	$(LOCKED) requirements/test.txt
	touch $@

# The classes that Spark loads, with which its JVMs start in two thirds of the time. Without Java there are neither.
$(VENV)/spark.jsa: $(VENV)/installed-test
	$(BIN)/python -m ddb_assets_tests.support.quick_java $@

$(VENV)/installed-bench-all: $(VENV)/installed-test
	$(INSTALL) --editable '.[bench-all]'
	touch $@
