# make results   the default run: environment, workflow, report
# make test      the tests: every claim at a small size, minutes
# make test-all  these, then the slow ones: whole runs, a cluster, a browser, official fixtures, fuzzing
# make bench     speed of codecs and metrics, as a table
# make clean     remove what a run wrote (downloads stay)
# make check     formatting, lint, types
# make docs      write the pages that are made from the catalogue, the rules and reference/, and the schema
# make lock      resolve the dependencies with uv: requirements*.lock and envs/*.yaml

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHON

.PHONY: results test test-all bench clean check docs lint types lock environment environment-dev

results: environment
	@snakemake --cores $(CORES)
	@echo
	@python tools/head.py results/tables/rd.csv
	@echo
	@echo "report: $(CURDIR)/results/report.html"

# A file's tests stay in one process; its fixtures are made once.
TESTS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 1

test: environment-dev
	@$(TESTS) -m "not slow"

test-all: test
	@$(TESTS) -m "slow or property" --hypothesis-profile long

bench: environment
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python tools/bench.py
	@python tools/bench_mpd.py

check: environment-dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync types lint

lint:
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules workflow
	snakemake --lint

types:
	mypy

docs: environment
	@python tools/catalogue_docs.py
	@python -m icmbench.config.sections > schemas/.new && mv schemas/.new schemas/config.schema.json
	@python tools/results_page.py
	@python tools/readme_results.py

clean:
	@find results -mindepth 1 ! -name README.md -delete
	@rm -rf .snakemake
	@echo "results/ is empty; downloads/ and .venv/ are kept"

lock: environment-dev
	@tools/lock.sh

environment:
	@tools/bootstrap.sh

environment-dev:
	@tools/bootstrap.sh dev
