# Main targets: `make demo` and `make test`. Both set up everything they need.
PYTHON ?= python3
BIN := .venv/bin
UV := 0.13.9
# Without tensorrt, which comes from NVIDIA's own index and is needed on the device only.
LOCKED := build openvino onnxruntime ncnn litert tensorrt-rtx ssh s3 hub oci sign plot site serve index dev

# The registry that `make site` shows; made-up records, as in tests, where there is none
SHOWN := $(if $(wildcard prebuilt/index.json),prebuilt)

.PHONY: demo test slow cover lint docs docs-site site screenshots vendor lock carried prebuilt first-minute setup clean

setup: .venv/ready

# Versions come from requirements.lock; `make lock` updates it.
.venv/ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock --no-deps -e .
	touch $@

demo: setup ## from nothing to the table
	$(BIN)/zoo build

# One thread per process: torch's threads spin while they wait, and would compete for the two cores.
test: setup lint ## lint, types and the fast tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

slow: setup ## the slow tests
	$(BIN)/pytest -m slow

cover: setup ## the fast tests, and how much of each module they run
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --cov --cov-report=term

lint: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy

docs: setup ## regenerate the generated parts of docs/
	$(BIN)/python -m zoo.cli.reference docs

docs-site: setup ## the same pages as a web site, in site/
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --extra docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --builder dirhtml --conf-dir docs . site

site: setup ## the page of the releases in prebuilt/, in pages/; SHOWN=URL: of another registry
	home=$$(mktemp -d) && ZOO_HOME=$$home $(if $(SHOWN),$(BIN)/zoo site pages --registry $(SHOWN),\
		$(BIN)/python -m tests.zoo.site.example pages); code=$$?; rm -rf $$home; exit $$code

screenshots: setup ## docs/images/site.png, of the same registry
	$(BIN)/python -m tests.zoo.site.screenshot docs/images/site.png $(SHOWN)

vendor: setup ## fetch the pages' libraries and ONNX Runtime Web from npm anew, and compare
	$(BIN)/python -m zoo.site.vendor
	$(BIN)/python -m tests.targets.browser.carry

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 $(LOCKED:%=--extra %) --no-header --no-annotate \
		--upgrade pyproject.toml -o requirements.lock

# Wheels for Python 3.12 on x86-64 Linux; pip takes each manylinux tag by name only.
carried: setup ## wheels for bench/gpu.py on a machine without network; DATA=folder also packs its omniglot/
	mkdir -p carried && rm -f carried/*.whl
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest carried \
		--python-version 3.12 --implementation cp $(foreach glibc,2_28 2_27 2_17,--platform manylinux_$(glibc)_x86_64) \
		--platform manylinux2014_x86_64 -r bench/gpu-wheels.txt
	test -z "$(DATA)" || tar -cJf carried/omniglot.tar.xz -C "$(DATA)" omniglot

prebuilt: setup ## build the releases that come with zoo again, and say what changed; DATA=folder with the data sets
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.prebuilt --data-root $(or $(DATA),data) $(OPTIONS)

first-minute: setup ## time README's first commands from the wheel and from a checkout, in fresh environments
	$(BIN)/python -m bench.first_minute

clean:
	rm -rf .venv .zoo carried site pages
