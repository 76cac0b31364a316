# make label PHOTOS=some/folder   label a folder of pictures into ./catalogue.db
# make test                       everything that must pass before a change lands
# Both need only Python 3.11 to 3.13 and make; the environment is made in .venv on first use.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS ?=
CATALOGUE ?= sqlite:///catalogue.db

.PHONY: label test test-heavy docs check train evaluate clean

label: $(VENV)/.label
ifeq ($(PHOTOS),)
	$(BIN)/fashion-cascade sample-crawl sample-crawl
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) sample-crawl > sample-crawl.jsonl; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --crawl sample-crawl --format table
else
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) $(PHOTOS) > labels.jsonl; test $$? -le 1
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

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# the shipped bundle, from the labelled photographs: about an hour on two cores
MANIFEST ?= ../shared/photos/manifest.csv
train: $(VENV)/.label
	$(BIN)/fashion-cascade train $(MANIFEST) --drawings 40 --epochs 24 --out runs/shipped/bundle --work runs/shipped/work

evaluate: $(VENV)/.label
	$(BIN)/fashion-cascade evaluate ../shared/photos/test

$(VENV)/.label: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: $(VENV)/.label
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

$(VENV)/.check: $(VENV)/.label
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
