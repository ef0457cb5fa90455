"""group_vars and host_vars beside an inventory: a file or a folder of files a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swarmops.model import textfile
from swarmops.model.faults import Mark, closest
from swarmops.model.inventory import names, vault
from swarmops.model.inventory.draft import Draft
from swarmops.model.inventory.types import Origin, Why
from swarmops.model.yaml import Map, load

ENDINGS = ("", ".yml", ".yaml", ".json")


def read(folder: Path, draft: Draft, keys: vault.Keys) -> None:
    """Reads what `folder` has for the groups and hosts of the draft, into their `files`."""
    for kind, owners in (("group", draft.groups), ("host", draft.hosts)):
        place = folder / f"{kind}_vars"
        if not (place.exists() or place.is_symlink()):
            continue
        mark = Mark(textfile.shown(place, draft.root))
        if not place.is_dir():
            draft.faults.add(mark, "", "is not a folder", f"{kind}_vars/<name>.yaml")
            continue
        if not textfile.within(place, draft.root):
            draft.faults.add(mark, "", f"is a link to {place.resolve()}, outside the project")
            continue
        listing = {entry.name for entry in place.iterdir()}
        for name, owner in owners.items():
            for file in _files_of(place, name, listing, draft):
                _read_file(file, f"{kind} {name}", owner.files, draft, keys)
        _warn_of_strangers(place, listing, kind, owners, draft)


def _files_of(place: Path, name: str, listing: set[str], draft: Draft) -> list[Path]:
    """The files of one name: the first of name, name.yml, name.yaml, name.json that is there, as in Ansible."""
    there = [place / f"{name}{ending}" for ending in ENDINGS if f"{name}{ending}" in listing]
    for unread in there[1:]:
        sentence = f"is not read, because {there[0].name} is there too"
        draft.faults.warn(Mark(textfile.shown(unread, draft.root)), "", sentence, "Ansible reads one of them")
    if not there:
        return []
    return _folder(there[0], draft, 0) if there[0].is_dir() else [there[0]]


def _folder(place: Path, draft: Draft, depth: int) -> list[Path]:
    """The files of a folder, in the order of their names, folders without a dot in their name included."""
    found: list[Path] = []
    mark = Mark(textfile.shown(place, draft.root))
    if depth > 10:
        draft.faults.add(mark, "", "is nested more than 10 deep", "does a link lead back?")
        return found
    if not textfile.within(place, draft.root):
        draft.faults.add(mark, "", f"is a link to {place.resolve()}, outside the project")
        return found
    for entry in sorted(place.iterdir()):
        name, ending = entry.name, entry.suffix
        if name.startswith(".") or name.endswith("~"):
            continue
        if entry.is_dir():
            found += _folder(entry, draft, depth + 1) if not ending else []
        elif ending in ENDINGS:
            found.append(entry)
    return found


def _read_file(file: Path, layer: str, into: Why, draft: Draft, keys: vault.Keys) -> None:
    name = textfile.shown(file, draft.root)
    text = textfile.read_text(file, draft.faults, root=draft.root)
    opened = False
    if text is not None and vault.is_vault(text):
        text, opened = vault.open_file(text, Mark(name), keys, draft.faults), True
    if text is None:
        return
    data = load(file, draft.faults, text=text, root=draft.root)
    if data is None or data == {} or data == []:
        return
    if not isinstance(data, Map):
        hint = "a line each such as 'name: value'"
        draft.faults.add(Mark(name, 1, 1), "", f"holds {names.kind(data)}, not variables", hint)
        return
    _take(vault.mark_opened(data, keys) if opened else data, layer, into, draft)


def _take(data: Any, layer: str, into: Why, draft: Draft) -> None:
    owner = layer.partition(" ")[2]
    for name, value in data.items():
        if not names.variable_name(name, owner, data.key_mark(name), draft.faults):
            continue
        mark = data.value_mark(name)
        if name == "ansible_group_priority" and layer.startswith("group"):
            sentence = "has no effect in group_vars"
            draft.faults.warn(mark, f"{owner}.{name}", sentence, "Ansible takes it from the inventory file only")
        into.setdefault(name, []).append(Origin(layer, mark, value, data.raw(name)))


def _warn_of_strangers(place: Path, listing: set[str], kind: str, owners: dict[str, Any], draft: Draft) -> None:
    for entry in sorted(listing):
        stem = next((entry.removesuffix(e) for e in ENDINGS[1:] if entry.endswith(e)), entry)
        if stem in owners or entry in owners or entry.startswith(".") or entry.endswith("~"):
            continue
        if Path(entry).suffix not in ENDINGS and not (place / entry).is_dir():
            continue
        mark = Mark(textfile.shown(place / entry, draft.root))
        draft.faults.warn(mark, "", f"is not read: there is no {kind} '{stem}'", closest(stem, owners))
