# Two commands: `make demo` and `make test`. Both set up everything that they need.
PYTHON ?= python3
BIN := .venv/bin
UV := 0.13.9
# Not tensorrt: it comes from NVIDIA's own host, and is wanted on the device only.
LOCKED := build openvino onnxruntime tensorrt-rtx ssh s3 hub sign plot dev

.PHONY: demo test slow cover lint docs lock carried setup clean

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

cover: setup ## the fast tests, and how much of each module they run
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --cov --cov-report=term

lint: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy

docs: setup ## what is generated in README.md and docs/
	$(BIN)/python -m zoo.cli.reference README.md docs

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 $(LOCKED:%=--extra %) --no-header --no-annotate \
		--upgrade pyproject.toml -o requirements.lock

# Wheels for Python 3.12 on x86-64 Linux; pip takes each manylinux tag by name only.
carried: setup ## what bench/gpu.py needs on a machine without network; DATA=folder packs its omniglot/ too
	mkdir -p carried && rm -f carried/*.whl
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest carried \
		--python-version 3.12 --implementation cp $(foreach glibc,2_28 2_27 2_17,--platform manylinux_$(glibc)_x86_64) \
		--platform manylinux2014_x86_64 -r bench/gpu-wheels.txt
	test -z "$(DATA)" || tar -cJf carried/omniglot.tar.xz -C "$(DATA)" omniglot

clean:
	rm -rf .venv .zoo carried
