# Everything one does with this repository. Each target makes what it needs first; on a new machine Python 3.11 and make will do.

VENV := .venv
BIN := $(VENV)/bin
PEERS := build/peers
WORKERS ?= 2
DEMO ?= build/demo
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3

# Installing without bytecode would slow down every start that is measured or waited for.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV
export UV_COMPILE_BYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean distclean services wrk
.DELETE_ON_ERROR:

help: ## print this list
	@awk -F ': .*## ' '/^[a-z]+: .*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.all ## train, judge, register and serve the digits example
	@$(BIN)/shipway demo $(or $(DEMO),build/demo)

test: $(VENV)/.dev $(PEERS)/mlflow/.made services ## every test there is, real services included
	$(BIN)/pytest -n $(WORKERS) $(TESTS)

check: $(VENV)/.dev ## format, lint, types, layers and the fast tests: run it before each commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	@mkdir -p build
	@$(BIN)/mypy >build/mypy.txt 2>&1 & types=$$!; tested=0; typed=0; \
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow and not lab" $(TESTS) || tested=$$?; \
	wait $$types || typed=$$?; cat build/mypy.txt; \
	exit $$((tested ? tested : typed))

bench: $(VENV)/.dev $(PEERS)/dvc/.made $(PEERS)/mlflow/.made $(PEERS)/mlserver/.made wrk ## ours and theirs side by side
	@$(BIN)/python bench/run.py $(BENCH)

clean: ## remove what was built and cached, the demo included
	@if [ -d $(DEMO)/.shipway/endpoints ]; then $(BIN)/shipway endpoints -C $(DEMO) --remove local; fi
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests examples bench lab -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## the same, and the virtual environment
	rm -rf $(VENV)

# --- the virtual environment: one stamp for each set of extras, made again when pyproject.toml changes

$(VENV)/.base:
	@sh -eu -c "$$MAKE_VENV"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "uv cannot be had, so pip does its work: that takes longer"
	@touch $@

$(VENV)/.all: pyproject.toml $(VENV)/.base
	@sh -eu -c "$$INSTALL" install $(BIN)/python -e '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.base
	@sh -eu -c "$$INSTALL" install $(BIN)/python -e '.[dev]'
	@touch $(VENV)/.all $@

# --- those that we compare with, each in its own environment because their pins exclude one another

$(PEERS)/dvc/.made: PACKAGES := dvc==3.67.1
$(PEERS)/mlflow/.made: PACKAGES := mlflow==3.17.2 scikit-learn
$(PEERS)/mlserver/.made: PACKAGES := mlserver==1.7.1 mlserver-sklearn==1.7.1 scikit-learn

$(PEERS)/%/.made: | $(VENV)/.base
	@echo "making $(@D) for: $(PACKAGES)"
	@rm -rf $(@D) && mkdir -p $(PEERS) && $(BIN)/python -m venv $(@D)
	@sh -eu -c "$$INSTALL" install $(@D)/bin/python $(PACKAGES)
	@touch $@

# --- programs from the distribution: installed where we may, named where we may not

services:
	@if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then :; \
	else sh -eu -c "$$FROM_APT" apt postgresql "the journal's tests on PostgreSQL are skipped"; fi

wrk:
	@command -v wrk >/dev/null || sh -eu -c "$$FROM_APT" apt wrk "the lines about serving are left out"

# Arguments: package, what is missing without it.
define FROM_APT
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $$1"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || true
    if [ "$$1" = postgresql ]; then
        # Only its programs are wanted: a cluster of its own would start a server that nobody stops.
        apt-get -qq install --no-install-recommends postgresql-common >/dev/null || true
        sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf || true
    fi
    apt-get -qq install --no-install-recommends "$$1" >/dev/null || echo "$$1 could not be installed: $$2"
else
    echo "$$1 is not here: $$2 (on Debian: apt-get install $$1)"
fi
endef
export FROM_APT

define MAKE_VENV
if "$(BIN)/python" -m pip --version >/dev/null 2>&1; then exit 0; fi
if "$(BIN)/python" -m ensurepip >/dev/null 2>&1; then exit 0; fi
# The first that runs and is new enough is what we name in a message; the first that can make environments is what we use.
found=
pick() {
    for python in $(PYTHONS); do
        "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        found=$$python
        "$$python" -c 'import ensurepip, venv' 2>/dev/null && return 0
    done
    return 1
}
if ! pick; then
    if [ -z "$$found" ]; then
        echo "No Python 3.11 or later among: $(PYTHONS)" >&2
        echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2
        exit 1
    fi
    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python3-venv"
        apt-get -qq update || true
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-venv >/dev/null || true
    fi
    if ! pick; then
        echo "$$found cannot make virtual environments: its modules venv and ensurepip are missing." >&2
        echo "On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
fi
echo "making $(VENV) with $$found ($$("$$found" -V))"
"$$found" -m venv --clear $(VENV)
endef
export MAKE_VENV

# Arguments: an environment's interpreter, then what to install. uv halves the time that pip takes; pip does where uv cannot be had.
define INSTALL
python=$$1
shift
echo "installing $$* into $${python%/bin/python}"
if [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python "$$python" "$$@"; then exit 0; fi
"$$python" -m pip install --quiet --disable-pip-version-check "$$@"
endef
export INSTALL
