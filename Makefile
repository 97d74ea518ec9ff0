# Everything a person types.  Needs Python 3.11+ and make; each target sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
SERVERS := sh tools/servers.sh
PACKAGES := agentmesh meshkit services gateway examples benchmarks tests tools

.PHONY: setup up demo test check lint types imports protos generate checkgenerate openapi checkopenapi reference wheel wheel-check stopwatch buckets bench bench-peers docs faults soak fuzz properties lock audit clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

up: setup  ## the mesh with the examples, on http://127.0.0.1:3370
	$(BIN)/agentmesh up --examples

demo: setup  ## mesh up, examples booted, a real job streamed to its end, mesh down
	$(BIN)/python -m examples.demo

test: setup
	$(SERVERS)
	$(BIN)/python -m pytest -q -n auto --dist loadgroup

check: lint types imports protos checkgenerate checkopenapi test  ## what CI runs

lint: setup
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/ruff check $(PACKAGES)

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

protos: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" buf lint
	PATH="$(CURDIR)/$(BIN):$$PATH" buf format -d --exit-code protos
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/breaking.sh

generate: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/generate.sh gen

checkgenerate: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/checkgenerate.sh

openapi: setup  ## the reference of each dialect, which the gateway serves
	$(BIN)/python -m gateway.openapi gateway/web/openapi

checkopenapi: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/checkopenapi.sh

reference: setup  ## the pages of docs/reference that are made from the code
	$(BIN)/python -m tools.reference docs/reference

wheel: setup  ## what is released, in dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

wheel-check: setup  ## the quickstart from the wheel, with each of Python 3.11, 3.12 and 3.13 that is found
	$(BIN)/python -m tools.quickstart --all

stopwatch: setup  ## from `pip install` in an empty folder to the first result, step by step: a minute at most
	$(BIN)/python -m tools.quickstart --within 60

buckets: setup  ## files of jobs in a bucket of a server that talks S3, which it installs under .tools/
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade --target .tools/buckets s3fs 'moto[server]'
	AGENTMESH_TEST_BUCKETS=1 PYTHONPATH=$(CURDIR)/.tools/buckets $(BIN)/python -m pytest -q tests/runner/test_buckets.py tests/runner/stores/test_files.py

bench: setup  ## figures of a real mesh beside their targets
	$(SERVERS)
	$(BIN)/python -m benchmarks

bench-peers: setup  ## the mesh beside DBOS and LangGraph, which it installs under .peers/
	$(SERVERS)
	$(BIN)/python -m benchmarks.peers

docs: setup  ## the site of the documentation, in build/site
	$(BIN)/python -m mkdocs build --strict

fuzz: setup  ## nonsense at every door by a seed: some minutes
	$(BIN)/python -m tests.fuzz $(FUZZ)

properties: setup  ## new examples for what holds for all values: 5,000 each, by a seed that it says
	$(BIN)/python -m pytest -q -n auto -m hypothesis --hypothesis-profile=search --hypothesis-show-statistics

faults: setup  ## 500 seeded faults under load, and the promises they broke: a quarter of an hour
	$(SERVERS)
	$(BIN)/python -m tests.faults $(FAULTS)

soak: setup  ## half an hour at steady load, and whether memory, descriptors, threads or logs of writes grow
	$(SERVERS)
	$(BIN)/python -m tests.faults.soak $(SOAK)

lock: ## constraints.txt anew from pyproject.toml, with hashes; UPGRADE says what may move
	TOOLS=.tools/lock sh tools/lock.sh $(UPGRADE)

audit: ## known vulnerabilities of what is locked, when a database can be reached
	TOOLS=.tools/audit sh tools/audit.sh

clean:
	rm -rf $(VENV) .peers .tools build dist
