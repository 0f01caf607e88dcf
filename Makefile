# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo zoo test clean

demo: $(VENV)/.installed
	$(BIN)/python run.py --config=configs/demo.py

# The demo's student for others: a folder for a model hub (runs/demo/zoo), files for ONNX Runtime and LiteRT (runs/demo/exports).
zoo: demo $(VENV)/.installed-deploy
	rm -rf runs/demo/zoo
	$(BIN)/python run.py --mode=pack runs/demo --output=runs/demo/zoo
	$(BIN)/python run.py --mode=export runs/demo --format=onnx --dtype=float32
	$(BIN)/python run.py --mode=export runs/demo --format=onnx --dtype=int8
	$(BIN)/python run.py --mode=export runs/demo --format=tflite --dtype=float32
	$(BIN)/python run.py --mode=export runs/demo --format=tflite --dtype=int8
	$(BIN)/python run.py --mode=check runs/demo/zoo

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

$(VENV)/.installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt
	touch $@

$(VENV)/.installed-deploy: requirements.txt requirements-deploy.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt -r requirements-deploy.txt
	touch $@ $(VENV)/.installed

$(VENV)/.installed-test: requirements.txt requirements-beam.txt requirements-cluster.txt requirements-deploy.txt requirements-test.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements-test.txt
	touch $@ $(VENV)/.installed $(VENV)/.installed-deploy

clean:
	rm -rf $(VENV) runs data/toy_city
