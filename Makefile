# The commands for developers. Most need only make and Go: pkg/pgtest finds PostgreSQL, or downloads
# it once. Targets that need Docker say so.
BIN := .bin
PROGRAMS := $(wildcard ./*/cmd/*) ./pkg/svcauth/cmd/svcauth ./pkg/pgtest/cmd/withpostgres
LINT := go tool -modfile=.ci/tools/go.mod golangci-lint
BENCH := pkg/svcauth/bench
FUZZTIME ?= 10s
# The end-to-end tests load the machine, so they run alone.
UNITS = $(shell go list ./... | grep -v /e2e)
# Tests of programs that are not installed are skipped. In CI they fail (pkg/pgtest, e2e).
SAY_NOT_RUN := PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null || \
	echo "NOT RUN: the tests through PgBouncer, which is not installed (Debian, Ubuntu, Fedora: the package pgbouncer)"; \
	{ command -v curl && command -v python3 && openssl version | grep -E '^OpenSSL ([3-9]|[1-9][0-9])'; } >/dev/null 2>&1 || \
	echo "NOT RUN: the examples in other languages, which need curl, python3 and OpenSSL 3"

# Go reads the commit from git to stamp it into programs, and fails where git refuses, as in a clone
# that another user owns.
ifeq ($(shell git rev-parse --quiet --verify HEAD 2>/dev/null),)
export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## run the demo and keep it running until Ctrl-C; ONCE=1 stops it at the end
	@exec $(BIN)/demo $(if $(ONCE),-once)

.PHONY: test
test: build ## run all tests, also end to end
	@$(BIN)/withpostgres go test -parallel=4 $(UNITS)
	E2E_BIN_DIR=$(CURDIR)/$(BIN) $(BIN)/withpostgres go test ./e2e ./e2e/cmd/... ./e2e/stack ./e2e/readme
	@$(SAY_NOT_RUN)
	cd $(BENCH) && go test ./...

.PHONY: race
race: build ## run all tests with the race detector, also in the services (needs a C compiler)
	go build -race -o $(BIN)/race/ $(PROGRAMS)
	@$(BIN)/withpostgres go test -race -vet=off -parallel=4 $(UNITS)
	E2E_BIN_DIR=$(CURDIR)/$(BIN)/race $(BIN)/withpostgres go test -race -vet=off -skip='^TestOverload$$' ./e2e
	@$(SAY_NOT_RUN)

.PHONY: crash-sample
crash-sample: build ## run the crash tests, a few times for each fault (about 2 minutes)
	E2E_BIN_DIR=$(CURDIR)/$(BIN) $(BIN)/withpostgres go test -count=1 ./e2e/crash

.PHONY: crash
crash: build ## run the crash tests, 25 times for each fault, and print the tables (7 minutes on a quiet machine)
	E2E_BIN_DIR=$(CURDIR)/$(BIN) $(BIN)/withpostgres go test -count=1 -timeout=90m -v ./e2e/crash -crash.full

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME (10s)
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' . | while IFS=: read -r file func; do \
		go test -run='^$$' -fuzz="^$${func#func }$$" -fuzztime=$(FUZZTIME) "$$(dirname "$$file")" || exit 1; \
	done

.PHONY: bench
bench: build ## compare svcauth with similar libraries, and the services with a plain chain; BENCHFLAGS=-help lists the options
	cd $(BENCH) && PGTEST_DURABLE=1 $(CURDIR)/$(BIN)/withpostgres go run . $(BENCHFLAGS)

.PHONY: lint
lint: ## run the linters, also for package boundaries (.golangci.yml)
	$(LINT) run
	cd $(BENCH) && go vet ./...

.PHONY: fmt
fmt: ## format the code
	$(LINT) fmt

.PHONY: vuln
vuln: ## look for known vulnerabilities (needs the network)
	.ci/vulncheck

.PHONY: layout
layout: ## check that the top level has only the expected files, and folders X with a program X/cmd/X
	@extra=$$(ls | grep -vxE 'pkg|migrations|e2e|go\.(mod|sum)|docker-compose\.yml|Makefile|README\.md|LICENSE' | \
		while read -r name; do test -d "$$name/cmd/$$name" || echo "$$name"; done); \
		if [ -n "$$extra" ]; then echo "does not belong at the top level:" $$extra; exit 1; fi

.PHONY: containers
containers: ## run the storage tests with testcontainers (needs Docker)
	env -u DATABASE_URL PGTEST_REQUIRE=docker go test -count=1 ./census/internal/postgres

.PHONY: compose-up
compose-up: ## build and start the compose project (needs Docker)
	docker compose up --build --wait

.PHONY: compose-down
compose-down: ## stop the compose project and delete its data
	docker compose down --volumes

.PHONY: e2e-compose
e2e-compose: compose-up ## run the end-to-end tests against the compose project
	E2E_TARGET=compose go test -count=1 ./e2e

# The arguments reach the command through the environment, so that the shell does not read them.
SCAFFOLD = go run ./pkg/scaffold/cmd/scaffold $(if $(DRY_RUN),--dry-run)
export NAME MODULE DOMAIN

.PHONY: new-service
new-service: ## make the service NAME from the template; DRY_RUN=1 prints what would be written
	@$(SCAFFOLD) new "$$NAME"

.PHONY: remove-service
remove-service: ## undo new-service NAME=...
	@$(SCAFFOLD) remove "$$NAME"

.PHONY: rename
rename: ## give the module the path MODULE and the services the domain DOMAIN
	@$(SCAFFOLD) rename --module "$$MODULE" --domain "$$DOMAIN"

.PHONY: check
check: ## run all checks, as CI does (needs Docker)
	.ci/check

.PHONY: build
build: ## build the programs into .bin
	go build -o $(BIN)/ $(PROGRAMS)

.PHONY: clean
clean: ## delete the built programs
	rm -rf $(BIN)
