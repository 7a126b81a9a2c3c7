# Label QA service. `make` alone lists what can be done here; continuous integration calls the same targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check bench bench-labels frontend install install-dev preflight schema traceability clean

SERVE ?= 1
PORT ?= 8000
STUDIES ?=
ANNOTATIONS ?=
PYTEST ?=
BENCH ?=
SCANS ?= 100
FIT_SCANS ?= 40

python := .venv/bin/python
frontend := qaservice/portal/frontend
built := qaservice/portal/static/portal/dist/.built
frontend_sources := $(shell find $(frontend) -name node_modules -prune -o -type f -print 2>/dev/null)
packages := imaging compliance qaservice

help: ## list the targets
	@echo "Label QA service: quality assurance of medical-imaging labels"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | \
		while IFS='|' read -r name words; do printf '%-20s %s\n' "$$name" "$$words"; done
	@echo "  make demo takes PORT=8000, SERVE=0 (end instead of serving),"
	@echo "            STUDIES=<folder or zip of DICOM> ANNOTATIONS=<file or folder> (your own data)"
	@echo "  make test takes PYTEST='<arguments of pytest>' for a single quick run on SQLite"

demo: demo-preflight .venv/installed $(built) ## run the whole job on synthetic scans, or on yours, and open the portal
	@$(python) -m deploy.demo.run --port "$(PORT)" --serve "$(SERVE)" --studies "$(STUDIES)" --annotations "$(ANNOTATIONS)"

test: preflight .venv/installed-dev $(built) ## run every test, with the PostgreSQL, broker and browser it needs
	@$(python) -m tests.run $(PYTEST)

check: preflight .venv/installed-dev $(frontend)/node_modules/.installed ## lint, types, contracts, migrations, deployment settings, API schema
	@deploy/setup/check.sh

bench: preflight .venv/installed-dev ## measure, with fixed seeds, into docs/benchmarks.json (BENCH="ingest.sqlite")
	@$(python) -m tests.benchmarks.run $(BENCH)

bench-labels: preflight .venv/installed-dev ## measure the label checks beside their peers (SCANS=100 FIT_SCANS=40)
	@BENCH_SCANS="$(SCANS)" BENCH_FIT_SCANS="$(FIT_SCANS)" $(python) -m tests.benchmarks.run labels

frontend: preflight $(built) ## build the portal's scripts where they changed

install: preflight .venv/installed ## create .venv with what the service needs

install-dev: preflight .venv/installed-dev ## the same, with what its tests and checks need

schema: .venv/installed-dev ## write docs/openapi.yaml from the code
	@$(python) manage.py spectacular --file docs/openapi.yaml --validate --fail-on-warn

traceability: .venv/installed-dev ## write docs/requirements/traceability.md from the tests
	@$(python) -m tests.architecture.traceability

clean: ## remove what was built and measured (keeps .venv and var/data)
	@rm -rf var/demo var/test var/bench qaservice/portal/static/portal/dist .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .coverage htmlcov
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

preflight:
	@deploy/setup/preflight.sh python node disk

.PHONY: demo-preflight
demo-preflight:
	@PORT="$(PORT)" SERVE="$(SERVE)" STUDIES="$(STUDIES)" ANNOTATIONS="$(ANNOTATIONS)" \
		deploy/setup/preflight.sh python node disk port inputs

.venv/installed: pyproject.toml
	@deploy/setup/environment.sh runtime

.venv/installed-dev: pyproject.toml
	@deploy/setup/environment.sh dev

$(frontend)/node_modules/.installed: $(wildcard $(frontend)/package-lock.json)
	@echo "Installing the portal's build tools ..."
	@cd $(frontend) && npm ci --no-audit --no-fund --prefer-offline --loglevel=error && touch node_modules/.installed

$(built): $(frontend)/node_modules/.installed $(frontend_sources)
	@echo "Building the portal's scripts ..."
	@cd $(frontend) && npm run --silent build
	@touch $(built)
