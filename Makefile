# make label PHOTOS=some/folder   label a folder of pictures into ./catalogue.db, print what came out
# make test                       everything that must pass before a change lands
# Both need only Python 3.11 to 3.13 and make; the environment is made in .venv on first use.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS ?=
CATALOGUE ?= sqlite:///catalogue.db

.PHONY: label test test-faults soak bench benchmark-enqueue test-heavy docs check train evaluate clean

label: $(VENV)/.label
ifeq ($(PHOTOS),)
	$(BIN)/fashion-cascade sample-crawl sample-crawl
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) sample-crawl > /dev/null; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --crawl sample-crawl --format table
else
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) '$(PHOTOS)' > /dev/null; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --format table
endif

test: $(VENV)/.test
	$(BIN)/python -m pytest

# docs/commands.md, from the commands' own help
docs: $(VENV)/.label
	$(BIN)/python tools/write_docs.py

# the same tests at their full size
test-heavy: $(VENV)/.test
	$(BIN)/python -m pytest -m heavy

# the fault tests at full size: 3,000 pictures, the shipped cascade
test-faults: $(VENV)/.test
	FAULT_PICTURES=3000 FAULT_MODEL=default $(BIN)/python -m pytest tests/worker/test_queue.py tests/worker/test_outages.py --timeout 3600

# twenty minutes of deliveries, with the memory of each process
soak: $(VENV)/.test
	$(BIN)/python -m benchmarks.soak

# every contender, interleaved and repeated; the table is printed and lies in runs/bench
bench: $(VENV)/.benchmarks
	$(BIN)/python -m benchmarks --photos $(or $(PHOTOS),../shared/photos/test) --only decode cascade cascade-tensorflow bare bare-tensorflow label queue onnx keras obvious

# paths a second from a manifest of five million into ledger and queue
benchmark-enqueue: $(VENV)/.test
	$(BIN)/python -m benchmarks.enqueue

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# the shipped bundle, from the labelled photographs: about an hour on two cores; a stopped run goes on
MANIFEST ?= ../shared/photos/manifest.csv
VALIDATION ?= ../shared/photos/validation
train: $(VENV)/.label
	$(BIN)/fashion-cascade train $(MANIFEST) --drawings 40 --epochs 24 --out runs/shipped/trained --work runs/shipped/work
	$(BIN)/fashion-cascade convert runs/shipped/trained --pictures $(VALIDATION) --out runs/shipped/bundle

evaluate: $(VENV)/.label
	$(BIN)/fashion-cascade evaluate ../shared/photos/test

$(VENV)/.label: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: $(VENV)/.label
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

$(VENV)/.benchmarks: $(VENV)/.label
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[benchmarks,test]'
	touch $@

$(VENV)/.check: $(VENV)/.label
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
