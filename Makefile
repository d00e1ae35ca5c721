# `make run` and `make test` set up everything they need; the rest are the parts they are made of.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install run test coverage lint audit contract soak kill fuzz clean
.DEFAULT_GOAL := test

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench,dev]'
	rm -rf oarlock.egg-info  # by which pytest would take all of Oarlock for its plugin, and rewrite the asserts in it
	touch $@

# A command that compiles all of its modules anew, where Python may write no bytecode, takes half as long again to start.
install: .venv/.installed
	$(BIN)/python -m compileall -q rpc registry engine

run: install
	$(BIN)/python -m bench

# Three processes more than there are cores: tests wait for sockets, clocks and children. On two cores it takes a tenth less
# than with one more. What is in a group, as all that shares a cluster of Ray's, is run by one of them, which begins with it.
# What pytest makes of the tests' modules is kept, also where Python is told to write no bytecode: each process would make
# all of it again, which is more than half of what it takes to collect the tests.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: install
	$(BIN)/python -m pytest --dist loadgroup --numprocesses $$($(PYTHON) -c 'import os; print(os.cpu_count() + 3)')

# The same tests, traced, which takes twice as long: prints how much of the product they run, and fails below the floor.
coverage: install
	$(BIN)/python -m pytest --dist loadgroup --numprocesses auto --cov --cov-report=

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# docs/openapi.yaml and docs/batch.schema.json, from the types; the tests fail where they are not as these say.
contract: install
	$(BIN)/python -m rpc.contract

soak: install
	$(BIN)/python -m tests.walks
	$(BIN)/python -m tests.soak

# Known vulnerabilities of what is pinned, from PyPI's database.
audit: install
	$(BIN)/python .ci/audit

# An engine with a store is killed at random moments, and goes on: nothing is lost, nothing started twice.
kill: install
	$(BIN)/python -m tests.kill

fuzz: install
	$(BIN)/python -m tests.fuzz
	OARLOCK_HISTORIES=20000 OARLOCK_FLEETS=1000 $(BIN)/python -m pytest --hypothesis-profile anew tests/cluster/test_protocol.py tests/cluster/test_random_fleets.py
	OARLOCK_REQUESTS=100 $(BIN)/python -m pytest --hypothesis-profile anew --numprocesses auto tests/serving/test_bad_requests.py tests/contract/test_sdk.py

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
