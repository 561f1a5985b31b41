GOLANGCI_VERSION := v2.15.0
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)

.PHONY: help setup run demo check test lint fuzz bench bench-pulsar gobench cover pulsar pulsar-stop

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Download the modules and the linter
	go mod download
	$(MAKE) $(GOLANGCI)

run: ## Serve the reference system on 127.0.0.1:8000
	go run ./server

demo: ## Play the three scenarios
	go run ./server demo

check: ## Vet, lint and hold the structure against the design
	go vet ./...
	$(MAKE) lint
	go test ./internal/archtest

test: ## Run all tests with the race detector
	go test -race -shuffle=on -timeout 20m ./...

lint: $(GOLANGCI) ## Run the linter
	$(GOLANGCI) run --allow-parallel-runners ./...

$(GOLANGCI):
	mkdir -p bin
	GOBIN=$(CURDIR)/bin/tmp go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/tmp/golangci-lint $@

fuzz: ## Run each fuzz target for 30 seconds
	@go list ./... | while read -r pkg; do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s $$pkg || exit 1; done; done

bench: ## Measure sagas with all that runs: BENCH='-only ^postgres -profile /tmp/p' narrows it
	go run ./internal/bench $(BENCH)

gobench: ## Run the benchmarks of the packages
	go test -run '^$$' -bench . -benchmem ./...

# Each package here prints its figures from a benchmark that is named BenchmarkFigures.
PULSAR_FIGURES := ./messaging/pulsarmsg ./internal/bench

bench-pulsar: ## Print figures of a real Pulsar: messages and whole sagas against the bare client
	go test -run '^$$' -bench '^BenchmarkFigures$$' -benchtime 1x -timeout 30m $(PULSAR_FIGURES)

cover: ## Report the coverage of the tests
	go test -coverprofile=cover.out -coverpkg=./... ./... && go tool cover -func=cover.out | tail -1

pulsar: ## Start a real Pulsar without Docker; PULSAR_PORT, PULSAR_ADMIN_PORT and PULSAR_DIR say where
	@testdata/pulsar/broker start

pulsar-stop: ## Stop it; its data stays
	@testdata/pulsar/broker stop
