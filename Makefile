# Everything a contributor needs is a target here; `make` alone lists them. Tools come from the module files in
# internal/tools through `go tool`, so Go, git, make and a C compiler (race detector only) are all one must install.

# Strict: a failing command fails its recipe also inside a pipe, an unset variable is an error, and a target whose
# recipe failed is deleted instead of looking up to date. One shell per recipe, no built-in rules to be surprised by.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-builtin-variables --warn-undefined-variables --no-print-directory

GO ?= go
# TESTFLAGS is added to every go test: make test TESTFLAGS='-v -run Move'.
TESTFLAGS ?=
# ARGS goes to `spanward dev`: make run ARGS='--dispatchers 5'.
ARGS ?=
# ONLY is a pattern of names: make mutants ONLY='lease|claim'.
ONLY ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PLATFORMS ?= linux/amd64 linux/arm64

LDFLAGS = -s -w -X main.version=$(VERSION)
GO_LINT = $(GO) tool -modfile=internal/tools/lint.mod golangci-lint
GO_BUF = $(GO) tool -modfile=internal/tools/buf.mod buf
WIRE_BASELINE = api/baseline.binpb

# A package with a test file that is only built with the failpoint tag is tested a second time with that tag.
FAILPOINT_PKGS = $(shell grep -rlE --include='*_test.go' '^//go:build .*\bfailpoint\b' . | xargs -r -n1 dirname | sort -u)
# Only packages with rapid properties know the flag that asks for more of them.
RAPID_PKGS = $(shell $(GO) list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | awk '/pgregory\.net\/rapid/ {print $$1}')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: build ## build and start a whole cluster on this machine (ARGS='--dispatchers 5')
	@exec bin/spanward dev $(ARGS)

.PHONY: build
build: ## build bin/spanward
	@[ -e bin/spanward ] || echo 'building bin/spanward; the first time this takes a minute or two …' >&2
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/spanward ./cmd/spanward

.PHONY: test
test: ## run every test that must pass
	$(GO) test -timeout 6m $(TESTFLAGS) ./...
	pkgs='$(FAILPOINT_PKGS)'
	if [ -n "$$pkgs" ]; then
		$(GO) test -timeout 6m -tags failpoint $(TESTFLAGS) $$pkgs
	fi

.PHONY: test-race
test-race: ## run the tests under the race detector
	$(GO) test -race -timeout 15m $(TESTFLAGS) ./...
	pkgs='$(FAILPOINT_PKGS)'
	if [ -n "$$pkgs" ]; then
		$(GO) test -race -timeout 15m -tags failpoint $(TESTFLAGS) $$pkgs
	fi

.PHONY: test-full
test-full: test-race ## test-race, then properties with fifty times the cases, deeper explorations, all faults, and mutants
	SPANWARD_DEEP=1 $(GO) test -count=1 -timeout 60m $(TESTFLAGS) ./internal/explore ./integration/world
	pkgs='$(RAPID_PKGS)'
	if [ -n "$$pkgs" ]; then
		$(GO) test -count=1 -timeout 60m $(TESTFLAGS) $$pkgs -args -rapid.checks=5000
	fi
	$(MAKE) mutants

.PHONY: mutants
mutants: ## take one rule after another out of the code and show which test notices (ONLY='lease|claim')
	$(GO) run ./internal/mutants -only '$(ONLY)'

.PHONY: bench
bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...

.PHONY: lint
lint: ## check formatting, import floors, the linters of .golangci.yml, and that go.mod is tidy
	$(GO_LINT) run
	$(GO) mod tidy -diff

.PHONY: fmt
fmt: ## format the Go code in place
	$(GO_LINT) fmt

# buf writes beside the tree first: a failure leaves the old code in place, and code whose .proto is gone goes too.
.PHONY: generate
generate: ## regenerate protobuf code, and whatever go:generate lines make
	@rm -rf bin/gen
	$(GO_BUF) generate -o bin/gen
	find api -name '*.pb.go' -delete
	cp -R bin/gen/api .
	rm -rf bin/gen
	$(GO) generate ./...

# Compares the tree before and after rather than with the last commit, so that it also works on uncommitted changes.
.PHONY: verify-generate
verify-generate: ## fail if generated code or docs differ from their sources
	@mkdir -p bin
	snapshot() { git ls-files -z --cached --others --exclude-standard | xargs -0 sha256sum 2>/dev/null || true; }
	snapshot >bin/before.sum
	$(MAKE) generate
	snapshot >bin/after.sum
	if ! changed=$$(diff bin/before.sum bin/after.sum); then
		echo 'verify-generate: generated files were out of date (they are up to date now):' >&2
		awk '/^[<>]/ {print "  " $$3}' <<<"$$changed" | sort -u >&2
		echo 'Run `make generate` and commit the result together with the change that caused it.' >&2
		exit 1
	fi

.PHONY: verify-wire
verify-wire: ## lint the protos; fail if the stored records no longer fit those of released versions
	@$(GO_BUF) lint
	if ! $(GO_BUF) breaking --path api/store/v1 --against $(WIRE_BASELINE); then
		echo 'verify-wire: api/store/v1 no longer reads what older versions wrote to etcd ($(WIRE_BASELINE)).' >&2
		echo 'Add new fields instead; reserve the number of a field that goes.' >&2
		exit 1
	fi

.PHONY: wire-baseline
wire-baseline: ## record api/store/v1 as the wire format that later versions must keep
	@printf '%s\n' >&2 \
		'wire-baseline: from now on verify-wire compares with the records as they are now. That is right' \
		'  * after an addition (messages, fields), so that the addition is protected as well;' \
		'  * before the first release, for any change, if the commit says so.' \
		'It is wrong if verify-wire fails and a released version may have written the old records.'
	$(GO_BUF) build --path api/store/v1 --exclude-source-info -o $(WIRE_BASELINE)

.PHONY: dist
dist: ## build release archives with checksums into dist/ (PLATFORMS='linux/amd64 …')
	@rm -rf dist
	mkdir -p dist
	for platform in $(PLATFORMS); do
		name=spanward-$(VERSION)-$${platform%/*}-$${platform#*/}
		mkdir dist/$$name
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} \
			$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/$$name/spanward ./cmd/spanward
		cp LICENSE README.md dist/$$name/
		tar -C dist -czf dist/$$name.tar.gz $$name
		rm -rf dist/$$name
	done
	cd dist
	sha256sum *.tar.gz >SHA256SUMS
	cat SHA256SUMS

.PHONY: clean
clean: ## remove what the targets above have built
	@rm -rf bin dist
