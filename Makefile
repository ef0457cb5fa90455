# The two commands: `make demo` shows the whole story, `make test` proves it. Both set up what they need.
.PHONY: demo test lint unit infra bench bench-runtime clean

demo:
	@scripts/setup.sh demo
	@scripts/demo.sh

test: lint
	@scripts/setup.sh test
	.venv/bin/pytest -n 2 --dist loadfile -m "not infra"
	.venv/bin/pytest -m infra -rs

lint:
	@scripts/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

unit:
	@scripts/setup.sh test
	.venv/bin/pytest -n 2 --dist loadfile -m "not infra"

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

clean:
	rm -rf .venv out build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
