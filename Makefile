# Precept. The targets people use:
#   make demo     build precept and go through its main job; ARGS=--once ends by itself
#   make test     everything that must hold, with what it needs installed
#   make bench    Precept beside a plain OPA server on this machine;
#                 ARGS=--against=COMMIT beside the program of that commit,
#                 ARGS=--neighbour a tenant alone and beside one that floods the region
#   make soak     everything hostile at once for ten minutes; SOAK=1m for less.
#                 Then connections, backends and servers of PostgreSQL are ended, thousands of times
#   make fuzz     every fuzz target for 20 s, and property tests on new inputs
#   make build    bin/precept
SHELL := /bin/bash
GO ?= go
PACKS := rulepacks/renal_dosing rulepacks/nsaid_anticoagulant rulepacks/high_priority_ddi rulepacks/terminology_core
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: build demo test tools lint unit race machines packs bench soak fuzz clean

build:
	$(GO) build -trimpath -ldflags "-X main.build=$(VERSION)" -o bin/precept ./cmd/precept

demo: build
	bin/precept demo $(ARGS)

test: tools lint unit race machines packs
	@echo "all tests passed"

# strace shows that a record was on disk before its answer left; PostgreSQL is started by tests, in folders of theirs.
tools:
	@want=; command -v strace >/dev/null || want=strace; \
	ls -d /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || want="$$want postgresql-15"; \
	[ -z "$$want" ] || { \
	  echo "installing $$want"; \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get -qq update && $$SUDO apt-get -qq install -y --no-install-recommends $$want >/dev/null; }

# What the program need not call itself: what outsiders import of three packages,
# and what tests are made of.
FOR_OTHERS := '^(fixtures/|(api/client|rulepacks|signing)/.*func: [A-Z][A-Za-z]*(\.[A-Z][A-Za-z]*)?$$)'

lint:
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$out" ] || { echo "not gofmt clean: $$out"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@out=$$($(GO) tool deadcode ./cmd/precept) || exit 1; \
	out=$$(grep -vE $(FOR_OTHERS) <<<"$$out"); [ -z "$$out" ] || { \
	  echo "nothing in the program calls these, tests aside: use them or remove them"; echo "$$out"; exit 1; }

# Property tests draw the same inputs for every change; make fuzz draws new ones.
unit race: export RAPID_SEED = 1

unit:
	$(GO) test -timeout 20m ./...

# The race detector where goroutines meet.
race:
	$(GO) test -race -timeout 45m ./engine/... ./api/... ./signing/...

# The same decisions, byte for byte, whatever instructions the compiler may use.
machines:
	GOAMD64=v1 $(GO) test -run TestSameBytes -count=1 ./engine/decide
	GOAMD64=v3 $(GO) test -run TestSameBytes -count=1 ./engine/decide

packs: build
	$(GO) tool opa fmt --fail --list rulepacks fixtures/opa
	bin/precept pack check $(PACKS)
	bin/precept pack test $(PACKS)

bench: build $(if $(findstring --against,$(ARGS))$(findstring --neighbour,$(ARGS)),,bin/opa)
	bin/precept bench $(ARGS)

SOAK ?= 10m
soak: build
	bin/precept bench --soak $(SOAK)
	PRECEPT_LONG=1 $(GO) test -count=1 -timeout 60m -v -run 'Ends|Killed|Nodes|TakesOver' ./engine/audit/pg

bin/opa: go.mod
	$(GO) build -o bin/opa github.com/open-policy-agent/opa

# Up to Go 1.26 a target may end with "context deadline exceeded" and no crasher written:
# a race at the end of the time (go.dev/issue/75804). Run that target again. Long inputs
# would take all the time to be made shorter, hence the bound on that.
FUZZTIME ?= 20s
fuzz:
	RAPID_CHECKS=1000 $(GO) test -count=1 -timeout 60m \
	  $$(git grep -l 'rapid\.Check' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|')
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
	  done; done

clean:
	rm -rf bin precept-demo
