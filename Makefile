# Every verb of the project. `make help` lists them; CI and README call only these.
#
#   CONTEXT=name   a kubectl context to use in place of the local cluster (kind-… contexts get the images loaded)
#   HUB=registry   where images are pushed to and pulled from when CONTEXT is no kind cluster
#   FERROMESH_CACHE, CARGO_TARGET_DIR   where downloads and builds are kept (default ~/.cache/ferromesh and ./target)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export FERROMESH_CACHE ?= $(HOME)/.cache/ferromesh
export PATH := $(FERROMESH_CACHE)/bin:$(PATH)

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- the two that a newcomer needs ---

.PHONY: demo demo-down test
demo: ## from nothing to bookinfo in a mesh, explained step by step (CONTEXT=name: in a cluster that you have)
	@demo/up.sh

demo-down: ## remove what `make demo` made
	@demo/down.sh

test: prepare ## every level of tests, cheapest first; the last line sums up (LEVELS="lint unit": only those)
	@ci/test.sh $(LEVELS)

# --- parts of the tests ---

.PHONY: prepare lint unit test-dataplane generate envoy-api build-times
prepare: ## install the Debian packages that tests and images need
	@ci/prepare.sh

lint: ## formatting, clippy, shell scripts
	@ci/test.sh lint

unit: ## pure tests, those with a fake API server, and those with Envoy on loopback
	@ci/test.sh unit

test-dataplane: prepare ## only what clients and servers see of a real Envoy on loopback, configured by users' YAML
	@ci/test.sh dataplane

generate: cluster-tools ## make the CRDs' YAML and the chart's templates from the API types, and the command line's operator from the chart
	cargo run --locked --quiet -p ferromesh-crds --example generate-crds
	helm template ferromesh charts/ferromesh -n ferromesh-system --no-hooks --set 'crds.install=false,revisions={any-revision},tags={any-tag}' >src/cli/install/operator.yaml
	helm template ferromesh charts/ferromesh -n ferromesh-system --set 'revisions={canary,next},tags={prod}' \
		-s templates/operator/access.yaml -s templates/roles/galley.yaml -s templates/roles/operator.yaml >src/cli/install/tests/operator-named.yaml

envoy-api: ## make Envoy's descriptors again from the pinned binary
	cargo run --locked --quiet -p envoy-api --bin extract-descriptors -- "$$(images/envoy.sh)" envoy-api/descriptors.binpb

build-times: ## how long a change in each row of src/ takes to check and to build tests for
	@ci/build-times.sh

# --- for hours ---

.PHONY: soak
soak: prepare ## certificates of 30 s under load for hours (HOURS=1), with the real Envoy, agent and citadel
	@FERROMESH_SOAK_HOURS="$${HOURS:-1}" cargo test --locked --workspace --exclude ferromesh-e2e --test agent -- --nocapture lifetimes::

# --- fuzzing ---

.PHONY: fuzz
fuzz: prepare ## feed hostile objects and reviews to the readers and the webhook (SECONDS_EACH=60, TARGETS="…" of `fuzz/run.sh list`)
	@fuzz/run.sh

# --- the local cluster ---

.PHONY: cluster-tools cluster-up cluster-down cluster-status
cluster-tools: ## build Kubernetes, helm and CoreDNS into the cache
	@e2e/kubernetes/build.sh

cluster-up: ## start a one-node Kubernetes on this machine (root)
	@e2e/kubernetes/cluster.sh up

cluster-down: ## stop it; nothing of it stays but the cache
	@e2e/kubernetes/cluster.sh down

cluster-status: ## is it there, what runs, where its kubeconfig is
	@e2e/kubernetes/cluster.sh status

.PHONY: rights operator-kills
rights: cli ## what the mesh's accounts did in the local cluster so far, held against what their roles grant (after the end-to-end tests)
	@e2e/rights.sh

operator-kills: prepare cli cluster-up images-load ## kill the operator again and again while it changes the mesh's profile, for minutes
	@cargo test --locked --quiet -p ferromesh-e2e -- --test-threads=1 --nocapture --ignored an_operator_that_is_killed

.PHONY: upgrade-from
upgrade-from: prepare cluster-up ## upgrade from the build of an older commit to this one under load (FROM=COMMIT)
	@e2e/upgrade-from.sh

# --- images ---

.PHONY: images images-load images-push
images: ## build the images as archives, without an engine or a registry
	@images/build.sh

images-load: ## load them into the local cluster
	@images/load.sh

images-push: ## push them to HUB, or load them into the kind cluster of CONTEXT
	@images/push.sh

# --- the command line, and what it and the API server say of objects ---

.PHONY: cli conformance
cli: ## build the command line, ferromesh, and say where it is
	@cargo build --locked --quiet -p ferromesh --bin ferromesh
	@echo "$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/ferromesh"

conformance: prepare cli cluster-up images-load ## the verdicts of the API server and of ferromesh validate, as a table
	@cargo test --locked --quiet -p ferromesh-e2e -- --test-threads=1 --nocapture conformance::

# --- figures ---

.PHONY: bench bench-agent bench-xds bench-engines
bench: ## measure what docs/benchmarks.md shows, on this machine and the local cluster
	@bench/run.sh

bench-agent: prepare ## measure what our two processes in a pod hold, and how fast the agent answers, on loopback
	@bench/agent.sh

bench-xds: ## measure what xDS costs at many services and proxies (ARGUMENTS="…" of `ferromesh-bench xds`)
	@bench/xds.sh

bench-engines: ## measure what a change costs a query engine, and what it costs explicit keys, as pilot has them
	@cargo run --locked --release --quiet --manifest-path bench/engines/Cargo.toml --target-dir "$(FERROMESH_CACHE)/engines"
