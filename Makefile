# Two commands are enough: `make lab` to learn, `make test` to prove. Both do their own set-up and can be run again at once.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= 3.11
# uv from the PATH, else one of our own beside the environment
UV = $(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.venv-uv/bin/uv)
# Its compiler is that of protobuf 6.30, the oldest that pyproject.toml allows: generated code runs on that version and later ones.
GRPCIO_TOOLS = 1.72.1
COMPILE = $(UV) pip compile --no-config --universal --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --quiet --extra all --python-version 3.11 pyproject.toml
# Served from the top, so that labs/ is in sight; the address that is printed (and opened, where there is a browser) shows the first lesson.
LAB_OPTIONS = $(if $(filter 0,$(shell id -u)),--allow-root) --log-level=WARN "--ServerApp.root_dir=$(CURDIR)" \
	--LabApp.default_url=/lab/tree/$(firstword $(wildcard notebooks/00_*.ipynb) notebooks) \
	"--LabApp.app_settings_dir=$(CURDIR)/assets/jupyterlab"
NOTEBOOKS = $(wildcard notebooks/*.ipynb solutions/*/lab.ipynb)
NBVAL = $(if $(NOTEBOOKS),--nbval --nbval-current-env --nbval-cell-timeout 1800 $(addprefix --nbval-sanitize-with ,$(wildcard $(CURDIR)/nbval_sanitize.cfg)))

# Two processes keep two cores busy, since much of a test is waiting for the engine; more of them make its timings unsteady.
WORKERS ?= 2
# AGAIN=1 also judges what of the labs was judged rightly before, by the same code on the same engine (tests/plugins/verdicts.py).
JUDGE = $(if $(AGAIN),--judge-again)
PYTEST = $(BIN)/python -m pytest --require-docker
WITHOUT_ENGINE = not engine and not browser and not twice and not every and not nightly
SIDE_BY_SIDE = $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist loadscope)

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: lab
lab: bases  ## set everything up and open JupyterLab on the first lesson; with NN=05, judge lab 05 and its submissions
	$(if $(NN),$(PYTEST) -m "" --judge-again $(NBVAL) tests/labs/test_labs.py $(wildcard solutions/$(NN)_*/lab.ipynb) -k '[$(NN) or Cell', \
		$(BIN)/jupyter lab $(LAB_OPTIONS))

.PHONY: test
test: bases browser lint  ## set everything up and run every test: package, tools, lessons, solutions, labs (AGAIN=1: judge all labs anew)
	$(PYTEST) --instafail $(JUDGE) $(SIDE_BY_SIDE) --durations=25 --durations-min=1 $(NBVAL) $(wildcard tests assets/detection-api/tests) $(NOTEBOOKS)

.PHONY: lesson
lesson: bases  ## with NN=05: run lesson 05 and the tests of what it alone uses
	@test -n "$(NN)" || { echo "Say which lesson: make lesson NN=05" >&2; exit 2; }
	$(PYTEST) $(NBVAL) $(wildcard notebooks/$(NN)_*.ipynb tests/lessons/lesson$(NN)_*)

.PHONY: unit
unit: setup  ## run every test that needs no engine, no browser and no image: package and tools
	DOCKER_HOST=unix:///nowhere $(BIN)/python -m pytest -q --require-docker $(SIDE_BY_SIDE) -m "$(WITHOUT_ENGINE)" tests

.PHONY: twice
twice: bases  ## kill every lesson's kernel while a container runs, and run the lesson again from the top
	$(PYTEST) --durations=15 -m "" tests/repository/test_trust_notebooks.py -k runs_again

.PHONY: labs
labs: bases  ## judge every known submission of every lab, also several mistakes for one criterion (AGAIN=1: anew)
	$(PYTEST) $(JUDGE) $(SIDE_BY_SIDE) --durations=15 -m "" tests/labs

.PHONY: nightly
nightly: twice labs  ## what takes too long for every change: all of twice and labs, then tests that load, download or wait
	$(PYTEST) --durations=15 -m nightly tests

.PHONY: setup
setup: $(STAMP)  ## make the Python environment .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@command -v $(UV) >/dev/null || { echo "uv is not installed: putting it in .venv-uv"; \
		python3 -m venv .venv-uv && sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >.venv-uv/uv.lock \
		&& .venv-uv/bin/pip install --quiet --require-hashes --no-deps -r .venv-uv/uv.lock; } \
		|| { echo "uv is missing and could not be installed. Install Python 3 with its venv module (Debian: apt-get install python3-venv), or uv." >&2; exit 1; }
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV) || $(UV) venv --quiet --python '>=3.11,<3.14' $(VENV)
	@echo "Installing what requirements.lock names in $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: engine
engine: setup  ## find the Docker Engine, or install and start one (Debian, Ubuntu)
	$(BIN)/dockerlab engine

.PHONY: bases
bases: engine  ## bring the base images of the course to the engine
	$(BIN)/dockerlab bases

.PHONY: browser
browser: setup  ## find Chromium for the browser tests, or install it (Debian, Ubuntu)
	$(BIN)/dockerlab engine --browser

.PHONY: doctor
doctor: setup  ## show every precondition, and what mends those that fail
	$(BIN)/dockerlab doctor

.PHONY: course
course: bases  ## build notebooks, labs and solutions from sources/; with NN=05, those of lesson and lab 05, then the tables
	$(BIN)/python tools/build_course.py $(NN)
	$(if $(NN),$(BIN)/python tools/build_course.py --tables)

.PHONY: lint
lint: setup  ## check sources and built files: ruff, mypy, the rooms' imports, freshness; no engine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . || { echo "Run \`make format\`." >&2; exit 1; }
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/build_course.py --check

.PHONY: format
format: setup  ## lay the sources out, sort imports, mend what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: ladder
ladder: bases  ## build, run and measure every rung of the size ladder: build/ladder.csv and build/ladder.png
	$(BIN)/dockerlab ladder

.PHONY: bench
bench: bases  ## compare `dockerlab build` with `docker buildx build` of the same context
	$(BIN)/python tools/bench.py

.PHONY: lock
lock: setup  ## write requirements.lock anew from pyproject.toml
	$(COMPILE) --upgrade --output-file requirements.lock >/dev/null

.PHONY: proto
proto: setup  ## generate dockerlab/images/buildkit_pb2.py anew, by the oldest compiler whose code every allowed protobuf runs
	$(UV) tool run --quiet --python $(PYTHON) --from grpcio-tools==$(GRPCIO_TOOLS) \
		python -m grpc_tools.protoc --proto_path=dockerlab/images --python_out=$(or $(OUT),dockerlab/images) buildkit.proto

.PHONY: clean
clean: setup  ## remove what the course and tests that were killed made on the engine; other people's things stay
	$(BIN)/dockerlab clean
	$(BIN)/python -m tests.plugins.foreign
