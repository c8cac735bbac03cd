# `make demo` trains a small GAN; `make test` runs the tests; `make docs` builds the site,
# `make notebooks` also runs its tutorials. Each sets itself up in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN = .venv/bin
RUN = runs/quickstart

.PHONY: demo test slow lint docs notebooks clean

demo: .venv/ready
	$(BIN)/tfgan-ema train --config=configs/quickstart.py --workdir=$(RUN)
	$(BIN)/tfgan-ema export --workdir=$(RUN) --out=$(RUN)/saved_model --overwrite
	$(BIN)/tfgan-ema sample --model=$(RUN)/saved_model --count=64 --out=$(RUN)/samples.png
	@echo
	@echo "samples of the averaged generator:       $(RUN)/samples.png"
	@echo "raw (left) and averaged (right), by step: $(RUN)/samples/"
	@echo "SavedModel for TF Serving:                $(RUN)/saved_model"

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: .venv/ready
	$(BIN)/python -m pytest -n 2 -m slow --durations=40 --durations-min=10

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "to read it: python3 -m http.server -b 127.0.0.1 -d build/site"

notebooks: docs
	cd build/site/tutorials && PATH="$(CURDIR)/$(BIN):$$PATH" $(CURDIR)/$(BIN)/jupyter execute --inplace --timeout=600 *.ipynb
	rm -rf build/site/tutorials/runs build/site/tutorials/exported build/site/tutorials/*.png

clean:
	rm -rf .venv build dist *.egg-info

.venv/ready: setup.py pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@
