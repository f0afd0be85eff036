# The whole ritual. Each target says what it installs, and installs it only when
# it is missing. Needed beforehand: Go, Node with npm, and for the packages root
# or sudo on Debian.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
APT := $(shell [ "$$(id -u)" = 0 ] || echo sudo) apt-get
FUZZTIME ?= 2s

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## the demo: a living district, portal on https://localhost:8443
	./bin/qanat demo

build: web/dist.stamp ## the portal and the binaries, bin/qanat and bin/qanat-check
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/qanat ./cmd/qanat-check

test: web/dist.stamp tools test-web test-go test-browser ## everything: both engines, hostile input, real clients, the browser

test-go:
	go vet ./...
	QANAT_TAMPER=70 go test -race -short -count=1 $$(go list ./... | grep -v '/test')
	go test -count=1 -run 'PowerCuts|BothEngines|LargeLedger|OneChange|Thief|Oracle' ./internal/ledger ./internal/field/response ./internal/people/access
	go test -count=1 -timeout 15m ./test/...
	$(MAKE) fuzz

test-web: web/node_modules/.stamp
	cd web && npm run check && npm run test

test-browser: build tools test/browser/node_modules/.stamp
	QANAT_BROWSER=1 go test -count=1 -timeout 10m -run Browser ./test/...

check: ## quick: vet, static analysis, known vulnerabilities
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	@# G104: errors that cannot happen (crypto/rand, hashes); G304: paths are the operator's or our own; G602: false since Go 1.22
	go run github.com/securego/gosec/v2/cmd/gosec@v2.22.11 -quiet -exclude=G104,G304,G602 -exclude-dir=node_modules ./...
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...
	cd web && npm audit --omit=dev

fuzz: ## each parser for FUZZTIME (2s)
	./test/fuzz.sh $(FUZZTIME)

bench: ## the figures of the documents, each with its baseline
	go test -run '^$$' -bench . -benchtime 3s ./internal/ledger ./internal/people/access ./internal/field/site ./internal/door/mqtt

soak: ## hours: long fuzzing, many power cuts, many kills, many tampered bytes
	QANAT_SOAK=1 QANAT_KILLS=500 QANAT_TAMPER=10000 QANAT_POWERCUTS=10000 go test -count=1 -timeout 6h ./internal/ledger ./test/...
	QANAT_DECISIONS=1000000 go test -count=1 -timeout 1h -run Oracle ./internal/people/access
	$(MAKE) fuzz FUZZTIME=10m

# What tests need from Debian: a PostgreSQL server to start privately, the
# mosquitto clients, and a browser.
tools: ## installs postgresql, mosquitto-clients, openssl and chromium when missing
	@missing=""; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v mosquitto_pub >/dev/null || missing="$$missing mosquitto-clients"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	if [ -n "$$missing" ]; then echo "apt-get install$$missing"; $(APT) update -qq && DEBIAN_FRONTEND=noninteractive $(APT) install -y -qq $$missing >/dev/null; fi

# Not npm ci: it refuses a lock file that lacks packages of other systems, which
# some registries do not have. The versions are the lock file's all the same.
NPM := npm install --no-save --no-fund --no-audit --loglevel=error

web/node_modules/.stamp: web/package-lock.json
	@echo "npm install (the portal's packages)"
	cd web && $(NPM) && touch node_modules/.stamp

test/browser/node_modules/.stamp: test/browser/package-lock.json
	@echo "npm install (playwright-core, to drive the browser)"
	cd test/browser && $(NPM) && touch node_modules/.stamp

web/dist.stamp: web/node_modules/.stamp $(shell find web/src web/public web/index.html web/vite.config.ts -type f 2>/dev/null)
	cd web && npm run build
	@touch $@

api: ## the API's description and the portal's types made from it
	go run ./cmd/qanat openapi > web/src/api/openapi.json.new && mv web/src/api/openapi.json.new web/src/api/openapi.json
	cd web && npm run api

clean: ## what was built
	rm -rf bin web/dist.stamp internal/door/portal/dist/assets internal/door/portal/dist/index.html test/out

.PHONY: help run build test test-go test-web test-browser check fuzz bench soak tools api clean
