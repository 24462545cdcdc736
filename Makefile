# Every door of the house has one word. `make` alone lists them.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CLASS ?= $(HOME)/kexue_class
DEMO ?= $(HOME)/kexue_demonstration
# A ~ inside a variable is the shell's to read, and it does not.
override CLASS := $(patsubst ~/%,$(HOME)/%,$(CLASS))
override DEMO := $(patsubst ~/%,$(HOME)/%,$(DEMO))
CLASSROOM := $(BIN)/python -m classroom
CHAPTERS := $(sort $(wildcard notebooks/*.ipynb))
BUILD := $(BIN)/jupyter-book build . --config _config.yml --toc _toc.yml --warningiserror --keep-going --quiet
RUN := $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False

# Threads that wait sleep: on a busy machine spinning ones make everything several times slower.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help book serve lab run classroom release grade mark hostile seeds full judge test lint bench clean

help: ## list the doors
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: $(INSTALLED) ## make the environment, build the book from the stored outputs, print the file to open
	@$(BUILD)
	@$(BIN)/python -c "import pathlib; print('The book:', pathlib.Path('_build/html/index.html').resolve().as_uri())"

serve: book ## the same, served on this machine's loopback address (PORT=8000)
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: $(INSTALLED) ## open the chapters in JupyterLab
	@$(BIN)/jupyter trust $(CHAPTERS)
	$(BIN)/jupyter lab --notebook-dir notebooks

run: $(INSTALLED) ## execute every chapter again and store its outputs
	$(RUN) $(CHAPTERS)

# Two workers with one thread each: two threads in each would wait for one another.
test: lint ## the whole suite: style, types, package, chapters, book in a real browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=300 \
		--nbval-sanitize-with tests/notebooks/sanitize.cfg tests kexue_lite classroom notebooks

lint: $(INSTALLED)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary

classroom: $(INSTALLED) ## a demonstration class with ten submissions, graded, and formgrader open to mark
	@$(CLASSROOM) demonstration --class "$(DEMO)"
	@$(MAKE) --no-print-directory grade A=01_extrema FROM="$(DEMO)/handed_in" CLASS="$(DEMO)" \
		DEADLINE=$$(cat "$(DEMO)/deadline.txt")
	@$(MAKE) --no-print-directory mark CLASS="$(DEMO)"

release: $(INSTALLED) ## an assignment for your students: A=03_networks (CLASS=folder of the class)
	$(if $(A),,$(error A is missing: make release A=03_networks))
	@$(CLASSROOM) release $(A) --class "$(CLASS)" $(OPTIONS)

grade: $(INSTALLED) ## grade what they handed in: A=03_networks FROM=folder-or-zip (DEADLINE=2027-01-31T23:59)
	$(if $(and $(A),$(FROM)),,$(error A or FROM is missing: make grade A=03_networks FROM=folder-or-zip))
	@$(CLASSROOM) grade $(A) "$(FROM)" --class "$(CLASS)" $(if $(DEADLINE),--deadline $(DEADLINE)) $(OPTIONS)

mark: $(INSTALLED) ## open formgrader for the written answers (CLASS=folder)
	@$(CLASSROOM) mark --class "$(CLASS)"

hostile: $(INSTALLED) ## every hostile submission, with walls, fresh walls and without (tens of minutes)
	KEXUE_HOSTILE=full OMP_NUM_THREADS=1 $(BIN)/pytest tests/classroom

seeds: $(INSTALLED) ## the stored experiments of the chapters again, three seeds or more each (about two hours)
	$(BIN)/python -m benchmarks.digits_judge --seeds 0 1 2 3 4
	$(BIN)/python -m benchmarks.sentiment --seeds 0 1 2
	$(BIN)/python -m benchmarks.sgns_race --seeds 0 1 2
	$(BIN)/python -m benchmarks.yardsticks --seeds 0 1 2
	$(BIN)/python -m benchmarks.ogan_digits --seeds 0 1 2 3 4
	$(BIN)/python -m benchmarks.ddpm_digits --seeds 0 1 2
	$(BIN)/python -m benchmarks.language_models --seeds 0 1 2 3 4 5
	$(BIN)/python -m benchmarks.recall --seeds 0 1 2

full: $(INSTALLED) ## chapters 6 and 7 on MNIST, 8 on Shakespeare, for a GPU: downloads once (not run by the tests)
	$(BIN)/python -m benchmarks.ogan_mnist --seeds 0 1 2
	$(BIN)/python -m benchmarks.ddpm_mnist
	$(BIN)/python -m benchmarks.shakespeare --seeds 0 1 2

judge: $(INSTALLED) ## train the judge of digits anew (chapters 3, 6 and 7) and store its weights
	$(BIN)/python -m benchmarks.digits_judge --judge

bench: $(INSTALLED) ## the races against the programs a user would take instead (about 25 minutes)
	$(BIN)/python -m benchmarks

clean: ## remove what was built (the environment stays; it is the folder .venv)
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache

# The stamp is written last: an installation that was broken off is taken up again.
$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; '$(PYTHON)' is older or missing. Try: make book PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "Python's venv is missing. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making the environment in $(VENV) (a few minutes, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
