# Two commands: `make demo` and `make test`. Both set up everything that they need.
PYTHON ?= python3
BIN := .venv/bin
UV := 0.13.9
# Not tensorrt: it comes from NVIDIA's own host, and is wanted on the device only.
LOCKED := build openvino onnxruntime tensorrt-rtx ssh s3 hub sign plot dev

.PHONY: demo test slow lint docs lock setup clean

setup: .venv/ready

# Versions come from requirements.lock; `make lock` renews it.
.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock --no-deps -e .
	touch $@

demo: setup ## from nothing to the table
	$(BIN)/zoo build

# One thread each: torch's threads spin while they wait, and two processes of two threads would take turns at that.
test: setup lint ## everything that takes seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

slow: setup ## what takes minutes
	$(BIN)/pytest -m slow

lint: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy

docs: setup ## what is generated in README.md and docs/
	$(BIN)/python -m zoo.cli.reference README.md docs

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 $(LOCKED:%=--extra %) --no-header --no-annotate \
		--upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .zoo
