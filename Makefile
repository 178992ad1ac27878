# make demo: set up, run the main job on real data.      make test: set up, check everything.
# make test-slow: the long tests.                         make clean: remove the environments and caches.
# make bench: measure speed beside other libraries.        make notebooks: build and run experiments/notebooks anew.
#
# A file .venv*/.done-* says that a step is finished; it is written last, so that an interrupted step is done again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow bench notebooks clean

# The first of these that runs and is new enough.
fits = $(shell for python in $(1); do \
    "$$python" -c 'import sys; sys.exit(not $(2) <= sys.version_info[:2] < (3, 14))' 2> /dev/null && echo "$$python" && break; done)

ifndef PYTHON
PYTHON := $(call fits,python3.11 python3.12 python3.13 python3,(3, 11))
endif

# ArviZ 1.x needs Python 3.12. pyenv's versions are tried too, since its commands run only where they are switched on.
ifndef PYTHON_ARVIZ1
PYENV_ROOT ?= $(HOME)/.pyenv
PYTHON_ARVIZ1 := $(call fits,python3.13 python3.12 $(wildcard $(PYENV_ROOT)/versions/3.1[23]*/bin/python),(3, 12))
endif

# Pip is silent unless it fails: its whole log then follows.
install = .venv$(1)/bin/python -m pip install --disable-pip-version-check -c constraints.txt $(2) > .venv$(1)/install.log 2>&1 \
    || { cat .venv$(1)/install.log >&2; echo "Set-up failed: pip could not install the packages (log above)." >&2; exit 1; }

help:
	@sed -n '1,3s/^# //p' Makefile

# Ends with make's own code 2 where pyrozoo ends with another than 0; make prints which (`Error 3`: a check failed).
demo: .venv/.done-run
	@.venv/bin/pyrozoo run configs/german_credit.yaml

test: .venv/.done-test $(if $(PYTHON_ARVIZ1),.venv-arviz1/.done-test)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
ifdef PYTHON_ARVIZ1
	.venv-arviz1/bin/python -m pytest -q -m "not slow and not two_lines" tests/test_arviz_bridge.py
	.venv/bin/python -m pytest -q -n 2
else
	@echo "No Python 3.12 or 3.13 found: the tests on ArviZ 1.x are left out."
	.venv/bin/python -m pytest -q -n 2 -m "not slow and not two_lines"
endif

test-slow: .venv/.done-test
	.venv/bin/python -m pytest -q -m slow

# From experiments/notebooks/cells; one alone: make notebooks NOTEBOOKS=naive_bayes.
notebooks: .venv/.done-test
	.venv/bin/python experiments/notebooks/build.py $(NOTEBOOKS)

# Some half an hour; the figures mean something on an idle machine alone. In pieces, or on after an interruption:
# make bench BENCH='--tables mixture svi', make bench BENCH=--missing.
bench: .venv-bench/.done-bench
	.venv-bench/bin/python tests/benchmarks/bench.py $(BENCH)

clean:
	rm -rf .venv .venv-arviz1 .venv-bench build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.venv/.done-create:
	@test -n "$(PYTHON)" || { echo "Pyrozoo needs Python 3.11, 3.12 or 3.13; none was found. Install one, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Setting up .venv with $$("$(PYTHON)" --version) (once; a few minutes)"
	@"$(PYTHON)" -m venv --clear .venv || { echo "Set-up failed: $(PYTHON) cannot make environments; install its venv module." >&2; exit 1; }
	@touch $@

.venv/.done-run: .venv/.done-create pyproject.toml constraints.txt
	@echo "Installing Pyrozoo into .venv"
	@$(call install,,-e .)
	@touch $@

.venv/.done-test: .venv/.done-create pyproject.toml constraints.txt
	@echo "Installing Pyrozoo and what its tests need into .venv"
	@$(call install,,-e '.[test]')
	@touch .venv/.done-run $@

.venv-arviz1/.done-create:
	@echo "Setting up .venv-arviz1 with $$("$(PYTHON_ARVIZ1)" --version), for ArviZ 1.x"
	@"$(PYTHON_ARVIZ1)" -m venv --clear .venv-arviz1
	@touch $@

# No PyTorch here: the bridge must not need it.
.venv-arviz1/.done-test: .venv-arviz1/.done-create constraints.txt
	@$(call install,-arviz1,'arviz>=1' numpy scipy xarray h5netcdf h5py pydantic pytest)
	@touch $@

.venv-bench/.done-create:
	@test -n "$(PYTHON)" || { echo "The benchmarks need Python 3.11; none was found." >&2; exit 1; }
	@echo "Setting up .venv-bench with $$("$(PYTHON)" --version), for the benchmarks"
	@"$(PYTHON)" -m venv --clear .venv-bench
	@touch $@

# The peers of the benchmarks have pins of their own. PyStan holds Stan, and needs pkg_resources, which setuptools 81 dropped.
.venv-bench/.done-bench: .venv-bench/.done-create pyproject.toml tests/benchmarks/constraints.txt
	@echo "Installing Pyrozoo and the libraries that it is measured beside into .venv-bench"
	@.venv-bench/bin/python -m pip install --disable-pip-version-check -c tests/benchmarks/constraints.txt \
	    -e . numpyro jax nutpie pymc pystan 'setuptools<81' > .venv-bench/install.log 2>&1 \
	    || { cat .venv-bench/install.log >&2; echo "Set-up failed: pip could not install the packages (log above)." >&2; exit 1; }
	@touch $@
