.DEFAULT_GOAL := help
.PHONY: help setup lab lab-down test bench clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile

setup:
	@lab/setup

lab: setup ## a phone system and two carriers in containers; the primary breaks, the calls go on
	@lab/run python lab/demo.py

lab-down: ## remove the lab
	@lab/down

test: setup ## every check (PARTS="unit molecule-plan" for some)
	@lab/run python tests/run.py $(PARTS)

bench: setup ## measure post-dial delay, beside the classic guide's dialplan
	@lab/run python lab/bench/bench.py

clean: lab-down ## remove the lab, its images and tools
	@rm -rf .cache
