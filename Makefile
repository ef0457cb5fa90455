# The two commands: `make demo` shows the whole story on this machine, `make test` proves it. Both set up what they need.
# `make demo ONCE=1` ends by itself; `make demo-lab` is the story on six real hosts, which are booted here (root).
.PHONY: demo demo-lab test lint unit infra bench bench-runtime bench-services clean

demo:
	@echo "setting up what the demo needs (once)"
	@scripts/setup.sh demo
	@ONCE=$(ONCE) scripts/demo.sh

demo-lab:
	@scripts/setup.sh lab
	@scripts/demo-lab.sh

test: lint
	@scripts/setup.sh test
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not infra"
	.venv/bin/pytest -m infra -rs

lint:
	@scripts/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

unit:
	@scripts/setup.sh test
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not infra"

infra:
	@scripts/setup.sh test
	.venv/bin/pytest -m infra -rs

bench:
	@scripts/setup.sh test
	.venv/bin/python benchmarks/provision.py

bench-runtime:
	@scripts/setup.sh test
	.venv/bin/python benchmarks/runtime/run.py --repeat 2
	.venv/bin/python benchmarks/runtime/registry.py
	.venv/bin/python benchmarks/runtime/memory.py
	.venv/bin/python benchmarks/runtime/failures.py
	.venv/bin/python benchmarks/runtime/soak.py

bench-services:
	@scripts/setup.sh test
	.venv/bin/python -m benchmarks.services.round_trip
	.venv/bin/python -m benchmarks.services.idle_agents
	.venv/bin/python benchmarks/services/embeddings.py

clean:
	rm -rf .venv out build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
