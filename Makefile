# For developers; everyone else needs ./run and ./test only.
PY := .venv/bin/python
export NO_MKDOCS_2_WARNING := 1

.PHONY: env check format test test-all mutants bench bench-smoke docs reference lock

env:
	@sh -euc 'root=$$PWD; . scripts/setup.sh; ensure_environment dev'

# Everything that needs no running: style, types, floors, documentation.
check: env
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy lavra/__init__.py  # its stub hides it from the line above
	.venv/bin/lint-imports --no-logo
	$(PY) -m mkdocs build --strict --site-dir site

format: env
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

test:
	./test

test-all:
	./test --all

# Known mistakes, made one by one in a copy of the tree: the tests named in tests/mutants must notice each.
mutants: env
	$(PY) scripts/mutants.py

# Every claim beside its peer; writes benchmarks/recorded.json and the table in docs/benchmarks.md.
bench: env
	$(PY) -m benchmarks.run_all

# The same, tiny: fails only under half of a recorded ratio.
bench-smoke: env
	$(PY) -m benchmarks.run_all --smoke

docs: env
	$(PY) -m mkdocs serve

# What is made from the package: docs/api.md, docs/cli.md, docs/http.md, docs/settings/, docs/modules.md, lavra/__init__.pyi.
reference: env
	$(PY) scripts/python_reference.py
	$(PY) scripts/public_stub.py
	$(PY) scripts/reference_pages.py
	$(PY) scripts/module_index.py

lock: env
	.venv/bin/uv pip compile --upgrade --quiet pyproject.toml benchmarks/requirements.txt --output-file requirements.lock
