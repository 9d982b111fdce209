.DEFAULT_GOAL := help
.PHONY: help setup lab lab-down check check-down test bench soak clean
COLLECTIONS = $(or $(SIPTRUNK_CACHE),$(CURDIR)/.cache)/collections

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile

setup:
	@lab/setup

lab: setup ## a phone system and two carriers in containers; the primary breaks, the calls go on
	@lab/run python lab/demo.py

lab-down: ## remove the lab
	@lab/down

check: ## a quick check while you work: lint, types, documentation, unit, golden files, twelve cases of the contract (PARTS="unit types" for some)
	@lab/setup
	@lab/run python tests/run.py $(or $(PARTS),contract lint unit golden types docs)

check-down: ## remove the lab that make check leaves standing
	@SIPTRUNK_LAB=check lab/down

test: ## every check (PARTS="unit molecule-plan" for some)
	@lab/setup tests
	@lab/run python tests/run.py $(PARTS)

bench: setup ## measure, beside the classic guides and a naive role (PARTS="delays load deployments hosts" for some)
	@lab/run env PYTHONPATH=$(COLLECTIONS):lab python lab/bench/bench.py $(PARTS)

soak: setup ## calls for SOAK_MINUTES (10) while the primary fails again and again; 100,000 attempts for the monitor; takeovers of SBCs with more calls
	@lab/run env PYTHONPATH=$(COLLECTIONS):lab python lab/bench/soak.py
	@lab/run env SIPTRUNK_LOAD=3 python tests/run.py molecule-sbc-ha

clean: lab-down check-down ## remove the labs, their images and tools
	@rm -rf .cache
