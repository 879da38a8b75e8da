PYTHON ?= python3
UV ?= uv
FUZZ_SECONDS ?= 90
VENV ?= .venv

bin := $(VENV)/bin
ready := $(VENV)/ready
pip := $(bin)/python -m pip install --quiet
# Half of what a test takes is waiting: for files to be written through, for the moment from which a version counts.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
pytest := $(bin)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
compile := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
floor_extensions := avro httpfs iceberg
define check_python
$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo '$(PYTHON) must be Python 3.11 or newer with venv: install python3 and python3-venv (Debian,' \
		'Ubuntu) or name another interpreter: make PYTHON=...' >&2; exit 1; }
endef

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-all test-pythons test-long coverage check bench \
	clean lock docs site tutorial

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(ready) ## Make .venv with the locked versions (PYTHON names another interpreter)

demo: .venv-demo/ready ## Run the whole pipeline against simulated APIs; needs no keys
	.venv-demo/bin/sightglass demo

test: $(ready) ## Run the tests that take about three minutes together
	$(pytest) -m 'not slow'
	@echo 'Left out: the slow tests (kills, faults, hostile servers, browsers, old DuckDBs); make test-all runs them too.'

test-all: $(ready) ## Run all tests; of slow ones with many cases a few
	$(pytest)

test-pythons: ## Run the tests of make test with each supported Python that is here, in .venv-<version>
	@for version in 3.11 3.12 3.13; do \
		if python$$version -c 'import ensurepip, venv' 2>/dev/null; then \
			$(MAKE) VENV=.venv-$$version PYTHON=python$$version test || exit 1; \
		else echo "Python $$version is not on this machine: not tried"; fi; \
	done

coverage: $(ready) ## Run the tests of make test, print which lines and branches of the program they leave out
	$(bin)/coverage run -m pytest --numprocesses $(WORKERS) --dist worksteal -m 'not slow'
	$(bin)/coverage combine --quiet
	$(bin)/coverage report

test-long: .venv/fuzz .venv/engines .venv-orchestrators/ready .venv-airflow/ready ## Fuzz what takes in answers (FUZZ_SECONDS each), then run all tests with all cases: hours
	for target in page record file; do \
		mkdir -p .hypothesis/fuzz/$$target && PYTHONPATH=.venv/fuzz:. $(bin)/python tests/fuzz.py $$target \
			.hypothesis/fuzz/$$target tests/samples -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
			-artifact_prefix=.hypothesis/fuzz/ || exit 1; \
	done
	TEST_LONG=1 $(pytest)

check: $(ready) ## Check format, lint and types
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy --strict etl tests bench sightglass docs/*.py

bench: .venv-bench/ready ## Measure against dlt and the vendor's SDK; ARGS='--scale 0.1 --repeat 1' for a quick look
	.venv-bench/bin/python -m bench $(ARGS)

clean: ## Remove .venv, caches and what was built; a warehouse stays
	rm -rf .venv .venv-* build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find etl sightglass tests -type d -name __pycache__ -prune -exec rm -rf {} +

lock: ## Write the lock files (needs uv); versions stay unless ARGS=--upgrade
	echo hatchling | $(compile) $(ARGS) --extra demo --group test --group lint --group docs \
		--output-file requirements.lock pyproject.toml -
	printf "%s==$$(sed -n 's/^ *"duckdb>=\([0-9.]*\)".*/\1/p' pyproject.toml)\n" duckdb $(floor_extensions:%=duckdb-extension-%) \
		| $(compile) --output-file requirements-floor.lock -
	echo hatchling | $(compile) --constraint requirements.lock --extra demo --output-file requirements-demo.lock \
		pyproject.toml -
	echo hatchling | $(compile) $(ARGS) --extra demo --group bench --output-file requirements-bench.lock pyproject.toml -
	for group in engines fuzz; do \
		$(compile) $(ARGS) --group $$group --output-file requirements-$$group.lock || exit 1; done
	echo hatchling | $(compile) $(ARGS) --extra demo --group orchestrators \
		--output-file requirements-orchestrators.lock pyproject.toml -
	echo hatchling | $(compile) $(ARGS) --group airflow --output-file requirements-airflow.lock pyproject.toml -
	echo duckdb==1.2.0 | $(compile) --output-file requirements-reader.lock -
	$(compile) --constraint requirements.lock --no-emit-package pyarrow --group spark \
		--output-file requirements-spark.lock
	$(compile) $(ARGS) --no-emit-package duckdb --group dbt --output-file requirements-dbt.lock

docs: $(ready) ## Write the data dictionary and pictures of it, the reference of the declarations, and what pages and the tour show
	$(bin)/python -m etl.dictionary > .venv/written && mv .venv/written schemas/README.md
	$(bin)/python -m etl.diagrams > .venv/written && mv .venv/written docs/tables.md
	$(bin)/python -m etl.reference > .venv/written && mv .venv/written docs/schema-reference.md
	$(bin)/python -m etl.reference json > .venv/written && mv .venv/written schemas/declaration.schema.json
	$(bin)/python -m etl.manual docs/*.md
	$(bin)/python docs/notebook.py docs/tour.ipynb

site: $(ready) ## Make a website of docs/, in build/site
	$(bin)/python docs/site.py build

tutorial: $(ready) ## Run docs/tutorial.md, write into it what its commands show now, and print what has changed
	PYTHONPATH=tests:. $(bin)/python -m support.tutorial

# A fresh environment each time, so that nothing unlocked survives; the stamp comes last, so that a broken
# set-up is done again.
$(ready): pyproject.toml requirements.lock requirements-floor.lock requirements-reader.lock requirements-spark.lock \
		requirements-dbt.lock
	@$(check_python)
	$(PYTHON) -m venv --clear $(VENV)
	$(pip) --require-hashes --requirement requirements.lock
	$(pip) --no-deps --no-build-isolation --editable .
	$(pip) --no-deps --require-hashes --target $(VENV)/duckdb-floor --requirement requirements-floor.lock
	$(pip) --no-deps --require-hashes --target $(VENV)/duckdb-reader --requirement requirements-reader.lock
	$(pip) --no-deps --require-hashes --target $(VENV)/spark --requirement requirements-spark.lock
	$(pip) --no-deps --require-hashes --target $(VENV)/dbt --requirement requirements-dbt.lock
	@touch $@

.venv/fuzz .venv/engines: .venv/%: $(ready) requirements-%.lock
	$(pip) --no-deps --require-hashes --target $@ --requirement requirements-$*.lock
	@touch $@

.venv-demo/ready .venv-bench/ready .venv-orchestrators/ready .venv-airflow/ready: .venv-%/ready: pyproject.toml requirements-%.lock
	@$(check_python)
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --require-hashes --requirement requirements-$*.lock
	$(@D)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
