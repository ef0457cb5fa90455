"""The documentation against the program: links, commands, options, kinds, and the commands that need no host."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.plan import make_plans
from tests.pages import (
    PAGES,
    ROOT,
    Block,
    blocks,
    code_in_lines,
    every_command,
    options_of,
    shell_lines,
    swarmops_commands,
    verb_of,
)

SECTIONS = {"version", "deployment", "infrastructure", "services", "network", "security"}
OFFLINE = {"validate", "render", "inventory", "vars", "secrets"}
# Options of other programs that pages name alone.
OF_OTHERS = {"--list", "--host"}
ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# -- links


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT) and there.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(there), f"{name_of(page)} links to {target}"


def test_the_index_names_every_page() -> None:
    # The pages of the runtime have an index of their own.
    index = (ROOT / "docs/README.md").read_text() + (ROOT / "docs/runtime.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs")
        assert path.name == "README.md" or f"]({path})" in index, f"docs/README.md does not name {path}"


# -- commands and options


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_exist(page: Path) -> None:
    code = [line for b in blocks(page) if b.language in ("", "sh", "console") for line in b.text.splitlines()]
    seen = 0
    for text in [*code, *code_in_lines(page)]:
        for words in swarmops_commands(text):
            command, verb, rest = verb_of(words)
            given = {re.split(r"[=,]", word)[0] for word in rest if re.match(r"--?[a-zA-Z]", word)}
            assert given <= options_of(command), f"{name_of(page)}: {verb} has no {given - options_of(command)}"
            seen += 1
    assert seen or page.parent.name == "decisions" or page.stem in ("kinds", "roles", "README", "benchmarks")


def test_options_named_alone_exist() -> None:
    known = set().union(*(options_of(command) for _, command, _ in every_command())) | OF_OTHERS
    for page in (p for p in PAGES if "benchmarks" not in str(p)):  # those are of a program of its own
        for text in code_in_lines(page):
            if match := re.match(r"--[a-z][a-z-]+", text):
                assert match[0] in known, f"{name_of(page)}: {match[0]} is an option of no command"


def test_every_verb_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for name, _, _ in every_command():
        if name.count(" ") == 1:
            assert re.search(rf"^\| .*`{name}[ `]", text, re.M), f"the README's tables do not name {name}"


@pytest.mark.parametrize(
    ("name", "command", "context"), list(every_command()), ids=lambda x: x if isinstance(x, str) else ""
)
def test_help_reads_well(name: str, command: Any, context: Any) -> None:
    text = command.get_help(context)
    assert (command.help or "").strip(), f"{name} says nothing about itself"
    assert command.help[0].isupper()
    for option in command.params:
        if option.param_type_name == "option":
            assert option.help and option.help.endswith((".", ")")), f"{name} {option.opts}: help is missing"
    listing = text.split("Commands:\n")[-1] if "Commands:\n" in text else ""
    assert "..." not in listing, f"{name}: a line of the listing is cut off"
    assert all(re.match(r"  \S+ +\S", line) for line in listing.splitlines()), f"{name}: a line of the listing wraps"


# -- blocks of YAML


def kind_of(data: Any) -> str:
    """What a block declares."""
    if isinstance(data, list):
        return "tasks"
    keys = set(data)
    if "role" in keys:
        return "role"
    if keys <= SECTIONS:
        return "distributed"
    assert keys <= {"checks", "backups", "ports", "tasks"}, f"what is this? {keys}"
    return "part of a role"


def as_role(what: str, data: Any, name: str) -> str:
    """A whole role of the block, for the planner."""
    role = data if what != "tasks" else {"tasks": data}
    tasks = role.get("tasks", [])
    noted = {
        n for t in tasks if "notify" in t for n in ([t["notify"]] if isinstance(t["notify"], str) else t["notify"])
    }
    have = {h["name"] for h in role.get("handlers", [])}
    handlers = [{"name": n, "systemd": {"name": "x", "state": "restarted"}} for n in sorted(noted - have)]
    own = {"vars": {"port": 6379}, **role, "role": name, "needs": [], "after": []}
    own["handlers"] = [*role.get("handlers", []), *handlers]
    return yaml.safe_dump(own, sort_keys=False)


# The blocks of docs/inventory.md make a project together, and have a test that runs it.
DECLARED = [b for b in ALL_BLOCKS if b.language == "yaml" and b.page.name != "inventory.md"]


@pytest.mark.parametrize("block", DECLARED, ids=str)
def test_what_is_declared_in_a_page_can_be_declared(block: Block, tmp_path: Path) -> None:
    data = yaml.safe_load(block.text)
    what = kind_of(data)
    text = {"version": 1, "infrastructure": {"example": "all"}, "features": {"redis": True}}
    if what == "distributed":
        text.update(data)
    else:
        role = as_role(what, data, "example")
        _write(tmp_path / "roles/example/role.yaml", role)
        for source in re.findall(r"src: (\S+\.j2)", role):
            _write(tmp_path / "templates/example" / source, "x\n")
    _write(tmp_path / "distributed.yaml", yaml.safe_dump(text))
    groups = {
        group: {"hosts": {f"{group}-1": {"ansible_host": f"172.16.168.{i}", "mesh_address": f"10.77.0.{i}"}}}
        for i, group in enumerate(("coordinator", "npu", "redis", "web", "hub"), 20)
    }
    _write(tmp_path / "inventory/lan.yaml", yaml.safe_dump({"all": {"vars": {"redis_host": "x"}, "children": groups}}))
    faults = Faults()
    project = Project.open(tmp_path, None, faults)
    if what != "distributed":
        plans = make_plans(project, faults=faults)
        assert any(p.steps or p.checks or p.backups for p in plans.values()) or "ports" in data
    assert not faults.errors, [str(f) for f in faults.errors]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# -- kinds, probes, sources


def modules(folder: str) -> set[str]:
    return {p.stem for p in (ROOT / "swarmops/target" / folder).glob("*.py") if not p.stem.startswith("_")}


def test_every_kind_named_exists() -> None:
    heads = set(re.findall(r"^## (\w+)$", (ROOT / "docs/kinds.md").read_text(), re.M))
    assert heads == modules("kinds")


def test_every_probe_is_in_the_table_of_health() -> None:
    table = re.search(r"^\| probe \|.*?\n\n", (ROOT / "docs/health.md").read_text(), re.S | re.M)
    assert table
    rows = [line.split("|")[1] for line in table[0].splitlines()[2:] if line]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == modules("probes")


def test_every_source_is_in_the_page_of_backups() -> None:
    text = (ROOT / "docs/backups.md").read_text()
    assert all(re.search(rf"^\| `{name}`", text, re.M) for name in modules("sources"))


# -- the README's role and error


def test_the_role_of_the_readme_is_the_real_one() -> None:
    shown = [b.text for b in blocks(ROOT / "README.md") if b.language == "yaml"]
    assert shown == [(ROOT / "roles/backups/role.yaml").read_text()]


SLIPS = (
    ("roles/redis/role.yaml", "{src: unit.conf.j2, dest: ", "{src: unit.conf.j2, destt: "),
    ("templates/redis/redis.conf.j2", "{{ maxmemory }}", "{{ maxmem }}"),
    ("inventory/lan/hosts.yaml", "redis-1: {ansible_host: 172.16.168.23", "redis-1: {ansible_host: 172.16.186.23"),
    ("distributed.yaml", "interval: 60s\n  timeout", "interval: soon\n  timeout"),
)


def test_the_error_of_the_readme_is_the_real_one(shipped: Path, run: Callable[..., tuple[int, str]]) -> None:
    assert run("secrets", "init")[0] == 0
    for file, right, wrong in SLIPS:
        text = (shipped / file).read_text()
        assert text.count(right) == 1, f"{file} has changed: choose another slip"
        (shipped / file).write_text(text.replace(right, wrong))
    wanted = next(b.text for b in blocks(ROOT / "README.md") if b.language == "console")
    code, said = run("validate")
    assert code == 2 and f"$ swarmops validate\n{said}" == wanted


# -- commands that need no host


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project that ships, with a store of its own."""
    root = tmp_path / "project"
    for name in ("inventory", "roles", "templates"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(".swarmops", "__pycache__"))
    shutil.copy(ROOT / "distributed.yaml", root)
    for name in ("SWARMOPS_SECRETS", "SWARMOPS_STATE", "SWARMOPS_AGE_IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs swarmops: (exit code, everything it said)."""
    from swarmops.cli import run as main

    def command(*argv: str) -> tuple[int, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["swarmops", *argv])
            with pytest.raises(SystemExit) as end:
                main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return command


def offline(page: Path) -> list[list[str]]:
    """The page's commands that can be run as they stand, without a host."""
    found = []
    for block in blocks(page):
        lines = shell_lines(block) if block.language in ("", "sh", "console") else ()
        for words in (words for line in lines if line.startswith("swarmops") for words in swarmops_commands(line)):
            if words[0] in OFFLINE and not any(re.search(r"[A-Z]{3,}|\.\.\.|age1", word) for word in words[1:]):
                found.append(words)
    return found


WITH_COMMANDS = [p for p in PAGES if offline(p) and p.name not in ("inventory.md", "README.md")]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_that_need_no_host_work(page: Path, shipped: Path, run: Callable[..., tuple[int, str]]) -> None:
    assert run("secrets", "init")[0] == 0
    for words in offline(page):
        words = [str(shipped.parent / "out") if word.startswith("/tmp/") else word for word in words]
        code, said = run(*words)
        assert code == 0, f"swarmops {' '.join(words)}: {said}"
