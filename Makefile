# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Needed beforehand: git, make, Python 3.11. Everything else is installed into .venv by these targets.

# The system's own Python first: it is what the service runs under on a site PC, and what the figures are about.
PYTHON ?= $(shell sh tests/support/find_python.sh)
VENV   := .venv
PY     := $(VENV)/bin/python
BIN    := $(VENV)/bin

# Misspelt on purpose, in tests of what the program says about mistakes.
MISSPELT := listner,reciept,recipt,seriel,nmae,adress,flor,opne

.DEFAULT_GOAL := help
.PHONY: docs bundle mutants mutants-page damage deb install-test faults soak fault-matrix voyages help demo test check long format lock bench wheel clean system-packages crash-points

help:  ## Say what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(VENV)/bin/python:
	@sh tests/support/make_venv.sh "$(PYTHON)" "$(VENV)"

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.test: requirements-test.lock pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime  ## Run a whole simulated site, break it, and print the verdict (under a minute).
	$(PY) -m gateway demo $(ARGS)

test: $(VENV)/.test system-packages check  ## Install what the tests need, then run everything.
	$(if $(ARGS),$(BIN)/pytest -q -m "not long" $(ARGS),$(PY) tests/support/halves.py)

check: $(VENV)/.test  ## Style, types, layers, spelling, dependencies.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell gateway drivers buffer sync simulators docs config systemd README.md CHANGELOG.md
	$(BIN)/codespell --ignore-words-list "$(MISSPELT),whats" tests
	$(BIN)/deptry .

system-packages:
	@sh tests/support/system_packages.sh

long: $(VENV)/.test  ## The tests that take minutes (kill storms, large backlogs).
	@sh tests/support/system_packages.sh long
	$(BIN)/pytest -q -m "long and not install" $(ARGS)

voyages: $(VENV)/.test  ## Sail seeded bad days in virtual time: SEEDS=1000, FIRST=1, or one: SEED=388.
	@$(PY) tests/simulation/voyages.py $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000) --first $(or $(FIRST),1))

damage: $(VENV)/.test  ## Damage 10,000 copies of an outbox and open each (COUNT=n, SEED=n).
	$(PY) tests/support/damage_storm.py --count $(or $(COUNT),10000) --seed $(or $(SEED),0)

soak: $(VENV)/.test  ## Let a whole site work for an hour, and see that the gateway does not grow (MINUTES=60, RATE=20, KEEP=folder).
	@$(PY) tests/support/soak.py --minutes $(or $(MINUTES),60) --rate $(or $(RATE),20) --seed $(or $(SEED),1) \
		$(if $(KEEP),--keep $(KEEP))

faults: $(VENV)/.test system-packages  ## Cause every fault of docs/fault-matrix.md and write down what happened (ROW=n, QUICK=1).
	@$(BIN)/pytest -q -m "fault$(if $(QUICK), and not long)" $(if $(ROW),--fault-row=$(ROW)) \
		--fault-results=tests/data/fault_results.json $(ARGS); \
	status=$$?; $(PY) tests/support/fault_matrix.py; exit $$status

fault-matrix: $(VENV)/.test  ## Make docs/fault-matrix.md from the results that are there.
	@$(PY) tests/support/fault_matrix.py

crash-points: $(VENV)/.test system-packages  ## Cut the power at every write of the recorded daemon (SCENARIO=a,b COUNT=n SEED=n KEEP=folder JSON=file).
	@$(PY) tests/simulation/crash_points.py $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(COUNT),--count $(COUNT)) \
		--seed $(or $(SEED),0) $(if $(JOBS),--jobs $(JOBS)) $(if $(KEEP),--keep $(KEEP)) $(if $(JSON),--json $(JSON))

mutants: $(VENV)/.test  ## Plant bugs, one at a time, and see each caught by its test (BUG=name, QUICK=1).
	@$(PY) tests/support/mutants.py $(if $(BUG),--bug $(BUG)) $(if $(QUICK),--quick)

mutants-page: $(VENV)/.test  ## Make docs/planted-bugs.md from the lists of planted bugs.
	@$(PY) tests/support/mutants.py --page

docs: $(VENV)/.test  ## Make the reference pages and schemas that are made from the code anew.
	@$(PY) tests/support/reference.py

bench: $(VENV)/.test  ## Print the speed table of the README, as ratios measured in one run.
	$(PY) -m gateway bench $(ARGS)

wheel: $(VENV)/.test  ## Build the wheel into dist/.
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

format: $(VENV)/.test  ## Put the code into its house style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.test  ## Pin every dependency by hash (needs pip-tools: pip install pip-tools).
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --strip-extras -o requirements.lock pyproject.toml
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --strip-extras --extra test -o requirements-test.lock pyproject.toml

deb: $(VENV)/.test  ## Build the Debian package into dist/ (on Debian 12).
	@sh systemd/deb/build.sh $(VENV) dist

bundle: $(VENV)/.test  ## Build the package and the archive for computers without internet into dist/.
	@sh systemd/deb/build.sh $(VENV) dist bundle

install-test: $(VENV)/.test  ## Install, upgrade, roll back, remove in a booted Debian of its own (root; a quarter of an hour).
	@sh tests/support/system_packages.sh install
	$(BIN)/pytest -q -m install $(ARGS)

clean:  ## Remove what the targets above made.
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
