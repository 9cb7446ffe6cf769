# make demo and make test do all their own set-up, from nothing, and are quick the second time.
export OPENBLAS_NUM_THREADS := 1
PYTHON ?= $(shell for p in python3.12 python3.13 python3.14 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test science mutants soak bench lint clean

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "filterlearn needs Python 3.12 or later on the PATH; none was found. Set PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e '.[data]'
	@touch $@

demo: $(READY)
	@$(BIN)/filterlearn demo --out demo_output

test: $(READY) lint
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not science"

science: $(READY)
	@$(BIN)/python -m pytest -m science -s

mutants: $(READY)
	@$(BIN)/python -m tests.mutants

soak: $(READY)
	@$(BIN)/python examples/long_stream.py
	@$(BIN)/python examples/faulty_stream.py
	@FILTERLEARN_KILLS=200 $(BIN)/python -m pytest -n 0 -k killed_again tests/cli
	@FILTERLEARN_FUZZ=2000 $(BIN)/python -m pytest -n 0 tests/streams/test_fuzz.py

bench: .bench/.ready
	@.bench/bin/python -m benchmarks "$(W)" $(or $(REPEATS),3)

.bench/.ready: pyproject.toml constraints.txt
	@test -x .bench/bin/python || $(PYTHON) -m venv .bench
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "pip>=25.1"
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check --group bench -e '.[data]'
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps particles dapper mpl-tools struct-tools patlib
	@touch $@

lint: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ty check --quiet

clean:
	rm -rf .venv .bench demo_output
