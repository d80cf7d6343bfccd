# Commands for developers; `make help` lists them. Each target installs its own prerequisites.
#
# The environments live in .build/, each made by scripts/environments.py from a lock file in
# requirements/. A target of the form .build/NAME/.ready-N is the stamp of a finished environment;
# N stands for the place of the checkout, since environments hold absolute paths: in a copy or
# after a move they are made anew.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

# The Python to begin with, 3.11 or newer. After changing it: make clean.
PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
# More arguments for pytest (make test-core ARGS="-k suspend") or for `make lock`.
ARGS ?=
# EVERYTHING=1 makes test-core, test-airflow and test-prefect run all of their tests, as
# `make test-all` does. Without it they run each behaviour once: on Mastra 1.x, and on 0.x what
# depends on the server version.
EVERYTHING ?=
SELECTED = $(if $(EVERYTHING),,-m "not thorough and (version_specific or not legacy_server)")
# Generated inputs for each property-based test; the default of hypothesis is 100.
EXAMPLES = $(if $(EVERYTHING),,--hypothesis-profile=quick)
# How many processes of pytest share a suite: most tests wait for a server, so more than processors.
WORKERS ?= 3
PARALLEL = --numprocesses $(WORKERS) --dist worksteal

# What happens here stays here: no other environment's packages, no file in a home folder, and no
# usage statistics to anybody.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
export AIRFLOW_HOME := $(CURDIR)/.build/home/airflow
export PREFECT_HOME := $(CURDIR)/.build/home/prefect
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.build/cache/hypothesis
export DO_NOT_TRACK := 1
export MASTRA_TELEMETRY_DISABLED := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

READY := .ready-$(shell pwd -P | cksum | cut -d ' ' -f 1)
TOOLS := .build/tools/$(READY)
CORE := .build/core/$(READY)
AIRFLOW := .build/airflow/$(READY)
PREFECT := .build/prefect/$(READY)
BROWSER := .build/browser/$(READY)
BENCH := .build/bench/$(READY)
DOCS := .build/docs/$(READY)
AIRFLOW_OLDEST := .build/airflow-oldest/$(READY)
PREFECT_OLDEST := .build/prefect-oldest/$(READY)
PREFECT_RUNNERS := .build/prefect-runners/$(READY)
AIRFLOW_BENCHMARK := .build/airflow-benchmark/$(READY)
SERVER := example_dags/mastra_server/node_modules/.ready
SERVER_0 := example_dags/mastra_server/v0/node_modules/.ready
BUILDS := $(patsubst %/package.json,%/node_modules/.ready,$(wildcard tests/servers/builds/*/package.json))
JAVASCRIPT := benchmarks/javascript/node_modules/.ready

# $(call each,verb,targets): makes each target, the later ones too when one fails, and fails then.
each = failed=; for target in $(2); do $(MAKE) "$$target" || failed="$$failed $$target"; done; \
	if [ -n "$$failed" ]; then echo "*** make $(1): failed:$$failed"; exit 1; fi; \
	echo "==> make $(1): passed: $(2)"

.PHONY: help setup demo playground playground-prefect server test test-all coverage test-core test-airflow \
	test-prefect test-faults test-faults-airflow test-faults-prefect test-system test-system-airflow test-system-prefect test-compat \
	test-compat-airflow test-compat-forms test-compat-prefect \
	test-browser test-browser-all screenshots reliability reliability-airflow reliability-prefect \
	soak test-servers test-pythons test-latest test-runners bench bench-end bench-cost bench-start bench-pictures bench-airflow bench-prefect \
	bench-import docs docs-links generate release-check lint lint-ruff lint-core lint-airflow lint-prefect lint-browser format build \
	lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' \
		| while IFS='|' read -r target text; do printf '%-26s %s\n' "$$target" "$$text"; done

setup: $(CORE) $(AIRFLOW) $(PREFECT) $(BROWSER) $(SERVER) $(SERVER_0) ## Install every environment that tests and lint need

demo: $(AIRFLOW) $(SERVER) ## Run an Airflow DAG with workflows on a real Mastra server
	@.build/airflow/bin/python -m scripts.demo

playground: $(AIRFLOW) $(SERVER) $(SERVER_0) ## Run Airflow with the example DAGs until Ctrl-C
	@$(call playground,airflow)

playground-prefect: $(PREFECT) $(SERVER) $(SERVER_0) ## Run Prefect with the example flows until Ctrl-C (ARGS="--generation 0": Mastra 0.x)
	@$(call playground,prefect)

# Keeps the byte code that it makes in .build too, that of the examples included.
playground = PYTHONPYCACHEPREFIX=$(CURDIR)/.build/cache/bytecode \
	.build/$(1)/bin/python -m scripts.playground --with $(1) $(ARGS)

server: $(TOOLS) $(SERVER) ## Run the sample Mastra server until Ctrl-C
	@.build/tools/bin/python -m testkit.sample_server $(ARGS)

test: setup ## Test each behaviour once; about 13 minutes on 2 cores
	@$(call each,test,test-core test-airflow test-prefect)

test-all: export EVERYTHING := 1
test-all: setup ## Run every test: both server versions, whole systems, a browser (CI runs this)
	@$(call each,test-all,test-core test-airflow test-prefect test-faults test-browser)

test-core: $(CORE) $(SERVER) $(SERVER_0) ## Test the client (EVERYTHING=1: on both server versions)
	@echo "==> Tests of the client"
	@.build/core/bin/python -m pytest -W error $(PARALLEL) $(EXAMPLES) $(SELECTED) tests/core $(ARGS)

test-airflow: $(AIRFLOW) $(SERVER) $(SERVER_0) ## Test the Airflow provider (EVERYTHING=1: on both server versions)
	@echo "==> Tests of the Airflow provider"
	@.build/airflow/bin/python -m pytest $(PARALLEL) $(SELECTED) tests/airflow $(ARGS)

test-prefect: $(PREFECT) $(SERVER) $(SERVER_0) ## Test the Prefect integration (EVERYTHING=1: on both server versions)
	@echo "==> Tests of the Prefect integration"
	@.build/prefect/bin/python -m pytest $(PARALLEL) $(SELECTED) tests/prefect $(ARGS)

coverage: $(CORE) $(SERVER) $(SERVER_0) ## Report what the tests of the client cover, into .build/coverage
	@echo "==> Coverage of mastra_workflows"
	@.build/core/bin/python -m pytest $(PARALLEL) $(EXAMPLES) $(SELECTED) --cov --cov-report term \
		--cov-report html tests/core $(ARGS)

test-faults: ## Test the most common faults of a whole Airflow and a whole Prefect
	@$(call each,test-faults,test-faults-airflow test-faults-prefect)

test-faults-airflow: $(AIRFLOW) $(SERVER) $(SERVER_0)
	@echo "==> Faults of a whole Airflow"
	@.build/airflow/bin/python -m pytest tests/system -m essential $(ARGS)

test-faults-prefect: $(PREFECT) $(SERVER) $(SERVER_0)
	@echo "==> Faults of a whole Prefect"
	@.build/prefect/bin/python -m pytest tests/system/test_prefect_faults.py \
		tests/system/test_playground.py -m essential $(ARGS)

test-browser: $(BROWSER) $(AIRFLOW) $(PREFECT) $(SERVER) $(SERVER_0) ## Test the most common forms in Chromium
	@echo "==> Tests in a browser"
	@.build/browser/bin/python -m pytest tests/browser -m essential $(ARGS)

test-browser-all: $(BROWSER) $(AIRFLOW) $(PREFECT) $(SERVER) $(SERVER_0) ## Test every form in Chromium
	@.build/browser/bin/python -m pytest tests/browser $(ARGS)

screenshots: $(BROWSER) $(AIRFLOW) $(PREFECT) $(SERVER) $(SERVER_0) ## Take the screenshots of docs/asking.md
	@PICTURES=docs/asking .build/browser/bin/python -m pytest tests/browser -m pictured $(ARGS)

test-system: ## Test whole Airflow and Prefect installations on PostgreSQL under faults
	@$(call each,test-system,test-system-airflow test-system-prefect)

test-system-airflow: $(AIRFLOW) $(SERVER) $(SERVER_0)
	@echo "==> Tests of a whole Airflow"
	@.build/airflow/bin/python -m pytest tests/system -m "not matrix and not soak" $(ARGS)

test-system-prefect: $(PREFECT) $(SERVER) $(SERVER_0)
	@echo "==> Tests of a whole Prefect"
	@.build/prefect/bin/python -m pytest tests/system/test_prefect_*.py -m "not matrix and not soak" $(ARGS)

test-compat: ## Test on the oldest supported Airflow and Prefect
	@$(call each,test-compat,test-compat-airflow test-compat-forms test-compat-prefect)

test-compat-airflow: $(AIRFLOW_OLDEST) $(SERVER) $(SERVER_0)
	@echo "==> Tests on the oldest Airflow"
	@.build/airflow-oldest/bin/python -m pytest $(PARALLEL) tests/airflow $(ARGS)

test-compat-forms: $(AIRFLOW_OLDEST) $(SERVER) $(SERVER_0)
	@echo "==> Forms of a whole Airflow, the oldest one"
	@.build/airflow-oldest/bin/python -m pytest tests/system/test_airflow_asking.py $(ARGS)

test-compat-prefect: $(PREFECT_OLDEST) $(SERVER) $(SERVER_0)
	@echo "==> Tests on the oldest Prefect"
	@.build/prefect-oldest/bin/python -m pytest $(PARALLEL) tests/prefect $(ARGS)

test-runners: $(PREFECT_RUNNERS) $(SERVER) $(SERVER_0) ## Test Prefect tasks on the task runners of Dask and Ray
	@echo "==> Tests of Prefect's task runners"
	@.build/prefect-runners/bin/python -m pytest tests/prefect/test_task_runners.py $(ARGS)

test-servers: $(CORE) $(SERVER) $(SERVER_0) $(BUILDS) ## Test every supported Mastra server; writes the tables of docs/servers.md
	@echo "==> Conformance of Mastra servers"
	@CONFORMANCE=docs/servers.md .build/core/bin/python -m pytest tests/servers $(ARGS)

test-pythons: ## Run the smoke tests on Python 3.12 and 3.13
	@$(call each,test-pythons,$(PYTHONS:%=test-python-%))

# Where the interpreter is not installed: a message and no failure.
PYTHONS := 3.12 3.13
.PHONY: $(PYTHONS:%=test-python-%) test-on-core test-on-airflow test-on-prefect
$(PYTHONS:%=test-python-%): test-python-%: $(TOOLS) $(SERVER) $(SERVER_0)
	@if interpreter=$$(.build/tools/bin/python scripts/environments.py find $*); then \
		echo "==> Tests on Python $* ($$interpreter)"; \
		$(MAKE) test-on VERSION=$* INTERPRETER="$$interpreter"; \
	else echo "==> Tests on Python $* skipped"; fi

.PHONY: test-on
test-on:
	@$(call each,test-on Python $(VERSION),test-on-core test-on-airflow test-on-prefect)

test-on-core test-on-airflow test-on-prefect: test-on-%:
	@.build/tools/bin/python scripts/environments.py --stamp .build/python$(VERSION)/$*/$(READY) \
		python $* --interpreter "$(INTERPRETER)"
	@.build/python$(VERSION)/$*/bin/python -m pytest tests/$* -m smoke $(ARGS)

latest = MASTRA_SAMPLE_PROGRAM=.build/latest/server/server.mjs .build/latest/$(1)/bin/python -m pytest

test-latest: ## Run the smoke tests on the newest packages, without locks
	@$(call each,test-latest,test-latest-core test-latest-airflow test-latest-prefect)

.PHONY: latest-server test-latest-core test-latest-airflow test-latest-prefect
latest-server: $(TOOLS)
	@.build/tools/bin/python scripts/environments.py latest server

test-latest-core: latest-server $(SERVER_0)
	@.build/tools/bin/python scripts/environments.py latest core
	@$(call latest,core) tests/core -m smoke $(ARGS)

test-latest-airflow: latest-server $(SERVER_0)
	@.build/tools/bin/python scripts/environments.py latest airflow
	@$(call latest,airflow) tests/airflow -m smoke $(ARGS)

test-latest-prefect: latest-server $(SERVER_0)
	@.build/tools/bin/python scripts/environments.py latest prefect
	@$(call latest,prefect) tests/prefect -m smoke $(ARGS)

reliability: $(TOOLS) ## Test every fault; writes docs/data/fault-matrix.csv and its page
	@$(call each,reliability,reliability-airflow reliability-prefect generate)

reliability-airflow: $(AIRFLOW) $(SERVER) $(SERVER_0)
	@MEASUREMENTS=docs/data .build/airflow/bin/python -m pytest tests/system/test_airflow_faults_*.py \
		tests/system/test_airflow_short_runs.py

reliability-prefect: $(PREFECT) $(SERVER) $(SERVER_0)
	@MEASUREMENTS=docs/data .build/prefect/bin/python -m pytest tests/system/test_prefect_faults.py

soak: $(AIRFLOW) $(PREFECT) $(SERVER) $(SERVER_0) ## Execute 200 runs in each mode under random faults (ARGS="--runs 20 --seed 7 --mode airflow-sync")
	@echo "==> Soak of Airflow"
	@.build/airflow/bin/python -m pytest -s -m soak tests/system/soak/test_airflow_soak.py $(ARGS)
	@echo "==> Soak of Prefect"
	@.build/prefect/bin/python -m pytest -s -m soak tests/system/soak/test_prefect_soak.py $(ARGS)

bench: ## Run every benchmark (docs/performance.md describes them)
	@$(call each,bench,bench-end bench-cost bench-start bench-airflow bench-prefect \
		bench-pictures bench-import)

# $(call end,runs at once,load,rounds,more options)
end = .build/bench/bin/python -m benchmarks.end --runs $(1) --load $(2) --rounds $(3) $(4)

bench-end: $(BENCH) $(SERVER) $(SERVER_0) $(JAVASCRIPT) ## Measure how late a wait notices the end of a run, with 1 to 3,000 concurrent runs
	@$(call end,1,quiet,10)
	@$(call end,100,quiet,2)
	@$(call end,1000,quiet,2)
	@$(call end,3000,quiet,1)
	@$(call end,1,chatty,5)
	@$(call end,100,chatty,2)
	@$(call end,100,quiet,2,--generation 0)

bench-cost: $(BENCH) $(SERVER) ## Measure the cost of waiting: requests, CPU, memory
	@.build/bench/bin/python -m benchmarks.cost $(ARGS)

bench-start: $(BENCH) $(SERVER) ## Measure how many runs are started per second
	@.build/bench/bin/python -m benchmarks.start $(ARGS)

bench-pictures: $(BENCH) ## Draw the results of the benchmarks into docs/performance
	@.build/bench/bin/python -m benchmarks.pictures

bench-import: $(AIRFLOW) ## Measure what the example DAGs add to Airflow's import time
	@.build/airflow/bin/python -m benchmarks.import_time

bench-airflow: $(AIRFLOW_BENCHMARK) $(SERVER) ## Measure the time from a workflow's end to its Airflow task's success
	@.build/airflow-benchmark/bin/python -m benchmarks.airflow_end_to_end $(ARGS)

bench-prefect: $(PREFECT) $(SERVER) ## Measure the time from a workflow's end to its Prefect flow's end
	@.build/prefect/bin/python -m benchmarks.prefect_end_to_end $(ARGS)

lint: $(CORE) $(AIRFLOW) $(PREFECT) $(BROWSER) ## Run ruff, and mypy --strict in each environment
	@$(call each,lint,lint-ruff lint-core lint-airflow lint-prefect lint-browser)

lint-ruff: $(TOOLS)
	@echo "==> Ruff, generated files, imports between modules"
	@.build/tools/bin/ruff check .
	@.build/tools/bin/ruff format --check .
	@.build/tools/bin/python scripts/generate_sync.py --check
	@.build/tools/bin/python scripts/public_names.py --check
	@.build/tools/bin/python -m scripts.fault_matrix --check
	@.build/tools/bin/lint-imports --no-logo --cache-dir .build/cache/import-linter

# $(call documented,environment) writes the code blocks of the documentation to modules.
documented = .build/$(1)/bin/python -m tests.support.documented_code $(1) .build/documented/$(1)/documented

# $(call mypy,environment,what to check,folders that exist only when it runs)
mypy = MYPYPATH=.build/documented/$(1) .build/$(1)/bin/python -m mypy \
	--cache-dir .build/cache/mypy-$(1) $(wildcard $(2)) $(3)

lint-core: $(CORE)
	@echo "==> mypy of the client"
	@$(call documented,core)
	@$(call mypy,core,mastra_workflows tests/*.py tests/support/*.py tests/core tests/servers/*.py \
		$(filter-out benchmarks/airflow% benchmarks/prefect%,$(wildcard benchmarks/*.py)) \
		benchmarks/contenders, .build/documented/core)

lint-airflow: $(AIRFLOW)
	@echo "==> mypy of the Airflow provider"
	@$(call documented,airflow)
	@$(call mypy,airflow,airflow_provider_mastra example_dags/*.py scripts testkit tests/airflow tests/system/*.py tests/system/dags \
		tests/system/soak/*.py tests/system/soak/dags benchmarks/airflow*.py \
		benchmarks/airflow_dags, .build/documented/airflow)

lint-prefect: $(PREFECT)
	@echo "==> mypy of the Prefect integration"
	@$(call documented,prefect)
	@$(call mypy,prefect,prefect_mastra example_dags/prefect_flows/*.py tests/prefect tests/system/flows \
		tests/system/soak/flows benchmarks/prefect*.py, .build/documented/prefect)

lint-browser: $(BROWSER)
	@echo "==> mypy of the tests in a browser"
	@$(call mypy,browser,tests/browser/*.py)

generate: $(TOOLS) ## Write the synchronous client, the list of public names and the page of measured faults
	@.build/tools/bin/python scripts/generate_sync.py
	@.build/tools/bin/python scripts/public_names.py
	@.build/tools/bin/python -m scripts.fault_matrix

format: $(TOOLS) ## Format the code and apply ruff's fixes
	@.build/tools/bin/ruff check --fix .
	@.build/tools/bin/ruff format .

docs: $(DOCS) ## Build the documentation site in .build/site; warnings and broken links are errors
	@echo "==> Documentation"
	@.build/docs/bin/python -m scripts.check_links
	@.build/docs/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs .build/site
	@echo "    .build/site/index.html"

docs-links: $(TOOLS) ## Request every link to another site; needs the internet
	@echo "==> External links"
	@.build/tools/bin/python -m scripts.check_links --external

build: $(TOOLS) ## Build wheel and sdist into dist/ and import them in empty environments
	@.build/tools/bin/python -m scripts.distribution

release-check: ## Check that a release is complete: changelog, version, distribution, documentation
	@$(call each,release-check,build docs release-metadata)

.PHONY: release-metadata
release-metadata: $(TOOLS)
	@echo "==> Version, changelog, README and metadata of dist/"
	@.build/tools/bin/python -m scripts.release_check

# Keeps the versions that still fit; `make lock ARGS=--upgrade` takes the newest.
compile = .build/tools/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command 'make lock' $(ARGS)
lock: $(TOOLS) ## Update the lock files
	@echo "==> Lock files (requirements/*.txt)"
	@$(compile) requirements/tools.in -o requirements/tools.txt
	@$(compile) pyproject.toml requirements/core.in -o requirements/core.txt
	@$(compile) pyproject.toml requirements/bench.in -o requirements/bench.txt
	@$(compile) pyproject.toml requirements/docs.in -o requirements/docs.txt
	@$(compile) pyproject.toml requirements/browser.in -o requirements/browser.txt
	@$(compile) pyproject.toml --extra airflow requirements/airflow.in -o requirements/airflow.txt
	@$(compile) pyproject.toml --extra prefect requirements/prefect.in -o requirements/prefect.txt
	@$(compile) pyproject.toml --extra airflow requirements/airflow-oldest.in \
		-o requirements/airflow-oldest.txt
	@$(compile) pyproject.toml --extra prefect requirements/prefect-oldest.in \
		-o requirements/prefect-oldest.txt
	@$(compile) pyproject.toml --extra prefect requirements/prefect-runners.in \
		-o requirements/prefect-runners.txt
	@$(compile) pyproject.toml --extra airflow requirements/airflow-benchmark.in \
		-o requirements/airflow-benchmark.txt

clean: ## Remove environments, caches and build output
	@rm -rf .build dist $(dir $(SERVER) $(SERVER_0) $(JAVASCRIPT) $(BUILDS))

$(TOOLS): requirements/tools.txt
	@if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo '*** Python 3.11 or newer is required, and "$(or $(PYTHON),python3.11 or python3)"' \
			'is not. Install it, or set PYTHON: make PYTHON=/path/to/python3.11'; \
		exit 1; \
	fi
	@"$(PYTHON)" scripts/environments.py --stamp $@ tools

.build/%/$(READY): requirements/%.txt pyproject.toml | $(TOOLS)
	@.build/tools/bin/python scripts/environments.py --stamp $@ python $*

%/node_modules/.ready: %/package-lock.json %/package.json | $(TOOLS)
	@.build/tools/bin/python scripts/environments.py --stamp $@ node $*
