# Everyday commands. `make test` is what CI runs; PYTHON names the environment's interpreter.
PYTHON ?= python

.PHONY: test lint types unit filecheck format docs

# The type checker has one thread; FileCheck tests run beside it.
test:
	$(MAKE) -j2 lint types filecheck
	$(MAKE) unit

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m pyright --pythonpath $(PYTHON)

filecheck:
	$(PYTHON) -c 'from lit.main import main; main()' tests/filecheck

# One core for each worker, which libraries would share among their threads.
unit:
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist worksteal

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

# Writes the output of the commands in docs/ and README.md anew.
docs:
	$(PYTHON) tests/doc_blocks.py --update
