# Every target is what a person and CI both call. `make` alone prints this help.
GO      ?= go
VERSION ?= devel
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: help build try test generate test-rootless test-cluster soak fuzz bench cross update clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

build: ## build bin/sallyport
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/sallyport ./cmd/sallyport

try: build ## build, and ask three questions about examples/shop
	bin/sallyport check -f examples/shop shop/api shop/db:5432
	@echo
	bin/sallyport check -f examples/shop shop/web shop/db:5432 || test $$? -eq 2 # 2 is the exit status of "denied"
	@echo
	bin/sallyport explain -f examples/shop shop/netpol/db

test: ## run every test, the builds for all platforms included
	$(GO) vet ./...
	$(GO) test ./...
	cd api/generate && $(GO) vet ./... && $(GO) test -count=1 ./... # go would not see that the types have changed
	$(MAKE) --no-print-directory cross

KERNEL = ./internal/netns ./internal/kernel ./internal/conntrack ./internal/node ./internal/agent

test-rootless: ## run the tests of the kernel as an ordinary user, in user namespaces (as nobody, if you are root)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && as= && \
	if [ "$$(id -u)" = 0 ]; then as="setpriv --reuid=65534 --regid=65534 --clear-groups"; fi && \
	for p in $(KERNEL); do \
		$(GO) test -c -o "$$dir/$$(basename $$p).test" $$p || exit 1; \
	done && chmod -R a+rx "$$dir" && cd "$$dir" && for t in *.test; do \
		echo "== $$t, as an ordinary user"; $$as "./$$t" || exit 1; \
	done

test-cluster: ## run the tests against a real API server with etcd (built from source and cached; minutes the first time)
	cd test/cluster && $(GO) vet ./... && $(GO) test -count=1 -timeout 50m ./... # go would not see that the program has changed

soak: SHELL := bash
soak: ## compare evaluator and oracle on random clusters for an hour (SALLYPORT_SOAK=2h for two)
	set -o pipefail; SALLYPORT_SOAK=$${SALLYPORT_SOAK:-1h} $(GO) test ./internal/eval ./internal/layers ./internal/failure ./internal/analyze ./internal/explain ./internal/question ./internal/lint -run 'TestOracle|TestLaws|TestReach|Layered|Widens|Narrows|Never|OnlyAllow|Law|Holds?|ClaimsHold' -v -timeout 0 -count 1 | grep -v '\[rapid\] OK'

FUZZTIME ?= 60s
fuzz: ## fuzz every reader and Compile, FUZZTIME (60s) each
	@for target in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z]+' $$target/*_test.go | cut -d' ' -f2); do \
			echo "== $$target $$f"; $(GO) test $$target -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

bench: ## run the benchmarks of the model
	$(GO) test ./internal/... -run '^$$' -bench . -benchmem

generate: ## write deploy/crds and the deep copies of api/v1alpha1 anew
	$(GO) tool -modfile=api/generate/go.mod controller-gen object crd paths=./api/v1alpha1 output:crd:dir=deploy/crds

cross: ## build for every platform
	@for p in $(PLATFORMS); do \
		echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/sallyport || exit 1; \
	done

update: ## rewrite the answers in scenarios, READMEs and transcripts (a verdict is never changed)
	$(GO) test ./cmd/sallyport -update

clean: ## remove what build made
	rm -rf bin
