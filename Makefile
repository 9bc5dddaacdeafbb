# One command a job; every target first makes the environment that it needs. `make` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
LOCKED := --require-hashes --requirement

# Stamps: what is installed in $(VENV), and from which version of its inputs.
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
LLAMA := $(VENV)/.llama

PACKAGES := agentmesh orchestrator_svc agent_svcs
GENERATED := agentmesh/v1 third_party/python
# What exists of the directories that are linted and typed.
SOURCES := $(wildcard $(PACKAGES) deploy tests tests_jaeger tests_llama benchmarks)

.PHONY: help
help: ## List the targets (the default)
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  %-16s %s\n", $$1, $$2}'

# --- environment -----------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(DEV) ## Make .venv with everything that development needs
	@:

$(MADE): tools/find_python.sh
	@echo "setting up $(VENV) (first run: about 3 s) ..."
	@python="$$(tools/find_python.sh)" && "$$python" -m venv --clear $(VENV)
	@touch $@

$(RUNTIME): $(MADE) locks/runtime.lock pyproject.toml
	@echo "installing agentmesh into $(VENV) (first run: about 25 s) ..."
	@$(PIP_INSTALL) $(LOCKED) locks/runtime.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Both locks agree on every version that they share, so this one satisfies the other as well.
$(DEV): $(MADE) locks/dev.lock locks/runtime.lock pyproject.toml
	@echo "installing agentmesh and its development tools into $(VENV) (first run: about 40 s) ..."
	@$(PIP_INSTALL) $(LOCKED) locks/dev.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(RUNTIME) $@

$(LLAMA): $(DEV) locks/llama.lock
	@echo "installing llama.cpp and a small model into $(VENV) (first run: about 10 s) ..."
	@$(PIP_INSTALL) --no-deps $(LOCKED) locks/llama.lock
	@touch $@

UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(if $(UPGRADE),--upgrade)

UPGRADE ?=

.PHONY: lock
lock: $(DEV) ## Resolve pyproject.toml again into locks/ (UPGRADE=1 takes the newest versions)
	@$(UV_COMPILE) --extra offline --extra dev -o locks/dev.lock pyproject.toml locks/build.in
	@$(UV_COMPILE) --extra offline --constraint locks/dev.lock -o locks/runtime.lock pyproject.toml locks/build.in
	@$(UV_COMPILE) --no-deps -o locks/llama.lock locks/llama.in

.PHONY: clean
clean: ## Remove .venv and every cache
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(SOURCES) third_party -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: tools
tools: ## Build grpcurl, promtool and Jaeger from Go modules into the cache (opt-in, needs Go, first run: 10 to 20 min)
	@tools/go_tools.sh build

# --- contracts -------------------------------------------------------------------------------------------------------

.PHONY: protos
protos: $(DEV) ## Generate the Python stubs from the .proto files
	@tools/generate_stubs.sh $(BIN)

.PHONY: format
format: $(DEV) ## Format the Python and .proto files in place
	@$(BIN)/buf format --write protos
	@$(BIN)/ruff check --quiet --fix --exit-zero $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

.PHONY: lint
lint: $(DEV) ## Check style and layers: ruff, import-linter, buf lint and format
	@echo "buf lint and format"
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code protos
	@echo "ruff"
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet --check --diff $(SOURCES)
	@echo "import-linter"
	@$(BIN)/lint-imports --no-logo

.PHONY: type
type: $(DEV) ## Check types: mypy --strict over the packages, tests and benchmarks
	@echo "mypy"
	@$(BIN)/mypy $(SOURCES)

.PHONY: breaking
breaking: $(DEV) ## Compare the .proto files with those of the last release
	@tools/check_breaking.sh $(BIN)/buf

.PHONY: generated
generated: protos ## Check that the committed stubs are those of the .proto files
	@echo "generated code is committed"
	@changed="$$(git status --porcelain -- $(GENERATED))"; \
	if [ -n "$$changed" ]; then \
		echo "make protos changes these; commit them:"; echo "$$changed"; exit 1; \
	fi

.PHONY: check-deploy
check-deploy: $(DEV) ## Check the deploy files: compose, Dockerfile, Prometheus with its alerts, Jaeger
	@deploy/check.sh $(BIN)

.PHONY: check
check: generated breaking lint type ## Everything that is checked without running: contracts, style, layers, types

# --- run -------------------------------------------------------------------------------------------------------------

# For the targets that name it.
OPTIONS ?=

# Two at a time also on two cores: half of the time is spent waiting for processes. An idle worker takes tests from the
# other, so a module mostly stays in one, in its order. Each worker has its own temporary directories.
.PHONY: test
test: $(DEV) ## Run the tests, two at a time, in about 5 min (OPTIONS="tests/cli -k up", OPTIONS="-n 0")
	@$(BIN)/pytest --numprocesses 2 --dist worksteal $(OPTIONS)

.PHONY: test-jaeger
test-jaeger: $(DEV) ## Read the traces of a mesh of processes from Jaeger (after `make tools`; else from our own receiver)
	@$(BIN)/pytest tests_jaeger

.PHONY: test-llama
test-llama: $(LLAMA) ## Run the wire tests against a real llama.cpp server (opt-in, 100 MB of model)
	@$(BIN)/pytest tests_llama

.PHONY: demo
demo: $(RUNTIME) ## Start a mesh of three agents, ask it four questions, stop it
	@$(BIN)/python -m orchestrator_svc.demo

.PHONY: up
up: $(RUNTIME) ## Start the orchestrator and three agents until Ctrl-C
	@$(BIN)/agentmesh up

# The question reaches the shell as a variable, character for character: neither make nor the shell reads a "$" in it.
Q ?=
unexport Q
export QUESTION := $(value Q)

.PHONY: ask
ask: $(RUNTIME) ## Ask the running mesh: make ask Q="..."
	@if [ -z "$$QUESTION" ]; then echo 'usage: make ask Q="What are the current system metrics?"' >&2; exit 2; fi
	@$(BIN)/agentmesh ask -- "$$QUESTION"

.PHONY: record
record: $(RUNTIME) ## Reproduce the recording that analytics_agent ships, in 5 min (OPTIONS=--help)
	@$(BIN)/python -m agent_svcs.analytics_agent.record $(OPTIONS)

.PHONY: bench-routing
bench-routing: $(DEV) ## Measure how often the offline planner routes a question right
	@$(BIN)/python -m benchmarks.routing

.PHONY: bench-anomalies
bench-anomalies: $(DEV) ## Measure what the anomaly detector finds in labelled series
	@$(BIN)/python -m benchmarks.anomalies

.PHONY: bench-loop
bench-loop: $(DEV) ## Compare the mesh with agentic loops: calls, latency, tokens, USD
	@$(BIN)/python -m benchmarks.loop

.PHONY: bench-overload
bench-overload: $(DEV) ## Ask a mesh up to three times what it can answer: goodput, refusals, latency, memory
	@$(BIN)/python -m benchmarks.overload

.PHONY: bench-registries
bench-registries: $(DEV) ## Measure registries of 100, 1,000 and 10,000 skills: changes, tools for an Ask, memory
	@$(BIN)/python -m benchmarks.registries

.PHONY: bench-telemetry
bench-telemetry: $(DEV) ## Measure what telemetry costs: CPU of an Ask with it on, sampled out, and off
	@$(BIN)/python -m benchmarks.telemetry
