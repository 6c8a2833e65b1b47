# Conveniences. To set up and to check: scripts/quickstart and scripts/test.

URL ?= $(or $(CI_SERVER_URL),http://localhost:8000)
CERTS ?= certs
BIN := .venv/bin
JOB_WORKER := JOB_WORKER_CERT_PATH=$(or $(JOB_WORKER_CERT_PATH),$(CERTS)) $(BIN)/job-worker

.PHONY: help certs serve service-status live-log proto check

help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

certs: ## Make an authority and certificates in $CERTS, for the Job Worker service
	$(BIN)/job-worker certs init --dir $(CERTS)

serve: ## Run the server, with the Job Worker service
	CI_GRPC_CERTS=$(CERTS) $(BIN)/python -m ci_server

service-status: ## Whether the server is ready, and the Job Worker service answers
	@curl -sS $(URL)/ready && echo
	@$(JOB_WORKER) list >/dev/null && echo "the Job Worker service answers"

live-log: ## Follow the output of the job $JOB, by default the newest
	@$(JOB_WORKER) stream $(or $(JOB),$$($(JOB_WORKER) list | head -n 1 | cut -d ' ' -f 1))

proto: ## Generate the modules of api/proto/worker.proto
	scripts/worker-api

check: ## Run the static checks
	scripts/check
