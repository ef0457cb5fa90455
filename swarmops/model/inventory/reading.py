"""Finding what an inventory consists of: a file, or a directory of files, scripts and further directories."""

from __future__ import annotations

import re
from pathlib import Path

from swarmops.model import textfile
from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory import checks, ini_source, merge, script_source, vars_files, vault, yaml_source
from swarmops.model.inventory.draft import Draft
from swarmops.model.inventory.types import Inventory
from swarmops.model.yaml import Map, parse

YAML_ENDINGS = (".yaml", ".yml", ".json")
# What Ansible passes over in a directory.
_IGNORED = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$|(?:\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$"
)
_SECTION = re.compile(r"^\[[^\[\]:,\s]+(?::\w+)?\]\s*(?:[#;].*)?$", re.M)


def load(path: Path, faults: Faults, *, root: Path | None = None, vault_password_file: Path | None = None) -> Inventory:
    """The inventory at `path`: YAML, INI, an executable script, or a directory of them, with group_vars and host_vars.

    Every mistake is added to `faults`; what could be read is returned. `root` is the project: messages name files
    relative to it and links may not leave it. `!vault` values are opened with the password file, or with the one
    that ANSIBLE_VAULT_PASSWORD_FILE names; without one they stay `Vaulted`. Sentences per reliability-security 3b.
    """
    draft = Draft(path, faults, root)
    before = len(faults.errors)
    keys = vault.keys(vault_password_file, faults)
    _source(path, draft, set())
    folder = path if path.is_dir() else path.parent
    vars_files.read(folder, draft, keys)
    inventory = merge.finish(draft, keys)
    if not inventory.hosts and len(faults.errors) == before:
        faults.add(Mark(textfile.shown(path, root)), "", "no hosts", "all: {hosts: {web-1: {ansible_host: 10.0.0.11}}}")
    checks.check(inventory, faults)
    return inventory


def _source(path: Path, draft: Draft, above: set[Path]) -> None:
    if not path.is_dir():
        _file(path, draft)
        return
    mark = Mark(textfile.shown(path, draft.root))
    real = path.resolve()
    if real in above:
        draft.faults.add(mark, "", f"is a link to {real}, which holds it")
    elif not textfile.within(path, draft.root):
        draft.faults.add(mark, "", f"is a link to {real}, outside the project", "copy it into the project")
    else:
        try:
            entries = sorted(entry.name for entry in path.iterdir())
        except OSError as e:
            draft.faults.add(mark, "", f"cannot be listed: {e.strerror}")
            return
        for name in entries:
            if not _IGNORED.search(name):
                _source(path / name, draft, above | {real})


def _file(path: Path, draft: Draft) -> None:
    file = textfile.shown(path, draft.root)
    if path.suffix == ".toml":
        hint = f"ansible-inventory -i {file} --list --export --yaml converts it"
        draft.faults.add(Mark(file), "", "TOML inventories are not read", hint)
        return
    if script_source.is_script(path):
        if textfile.within(path, draft.root):
            script_source.read(path, file, draft)
        else:
            draft.faults.add(Mark(file), "", f"is a link to {path.resolve()}, outside the project")
        return
    hint = "docs/inventory.md shows one to begin with"
    text = textfile.read_text(path, draft.faults, root=draft.root, hint=hint)
    if text is not None:
        _text(path, file, text, draft)


def _text(path: Path, file: str, text: str, draft: Draft) -> None:
    """Tells YAML from INI as Ansible does, by the ending of the name and by what parses; but a file that is plainly
    meant as one is never tried as the other, so that the fault named is the one that was made."""
    may_be_yaml = path.suffix in ("", *YAML_ENDINGS)
    if not text.strip():
        draft.faults.add(Mark(file), "", "is empty: no hosts", "docs/inventory.md shows one to begin with")
    elif not may_be_yaml or _SECTION.search(text):
        ini_source.read(text, file, draft)
    else:
        found = Faults()
        data = parse(text, file, found)
        if path.suffix in YAML_ENDINGS or _first_line_is_yaml(text) or (isinstance(data, Map) and not found):
            for fault in found:
                draft.faults.found.append(fault)
            if data is not None or not found:
                yaml_source.read(data, Mark(file), draft)
        else:
            ini_source.read(text, file, draft)


def _first_line_is_yaml(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first == "---" or first.startswith(("--- ", "%YAML", "{")) or first.endswith(":") or ": " in first
