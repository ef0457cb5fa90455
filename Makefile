# The two commands: `make demo` shows the whole story, `make test` proves it. Both set up what they need.
.PHONY: demo test lint unit infra bench clean

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

clean:
	rm -rf .venv out build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
