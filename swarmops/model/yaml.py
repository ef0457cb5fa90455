"""YAML as Ansible reads it, with the place of everything, for files that nobody should have to trust.

`load` parses with libyaml and builds its own nodes: a dict is a `Map`, a list a `Seq`, scalars are plain Python
values by the rules of YAML 1.1. What Ansible (PyYAML) accepts in silence and what hurts later is a fault here:
duplicate keys, tags, a second document, aliases that grow, depth (reliability-security 3b, cases 4-16).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from swarmops.model.faults import Faults, Mark
from swarmops.model.placed import Map, Seq, Unsafe, Vaulted, plain
from swarmops.model.textfile import hidden_characters, read_text, shown
from swarmops.model.yamlbuild import MAX_DEPTH, Builder, Stop

try:
    from yaml.cyaml import CParser as Parser  # type: ignore[attr-defined]
except ImportError:  # PyYAML without libyaml: five times slower
    from yaml import SafeLoader as Parser  # type: ignore[assignment]

__all__ = ["Map", "Seq", "Unsafe", "Vaulted", "load", "parse", "plain"]


def load(path: Path, faults: Faults, *, text: str | None = None, root: Path | None = None) -> Any:
    """What the file holds: `Map`, `Seq` or a scalar; None when it is empty or when a fault stopped the reading.

    Faults that leave the rest readable (duplicate keys, tags) are added and the reading goes on. `text` is used in
    place of the file's own content; `root` is the tree that links may not leave. Never raises for user mistakes.
    """
    file = shown(path, root)
    if text is None:
        text = read_text(path, faults, root=root)
    elif not hidden_characters(text, file, faults):
        text = None
    return None if text is None else parse(text, file, faults)


def parse(text: str, file: str, faults: Faults) -> Any:
    """As `load`, of a text that was read and checked already; marks name `file`."""
    text = text.removeprefix("\ufeff")
    builder = Builder(file, faults)
    parser = Parser(text)
    try:
        node = builder.build(parser)
        return _with_numbers_of_json(node, _json(text)) if text.lstrip()[:1] == "{" else node
    except yaml.YAMLError as e:
        as_json = _json(text)
        if as_json is not None:
            return _placed(as_json, file)
        _syntax_fault(e, text, file, faults)
    except Stop:
        pass
    finally:
        parser.dispose()
    return None


def _json(text: str) -> Any:
    """What the text is as JSON, None when it is none. Ansible tries JSON before YAML; the two differ in numbers such
    as 1e3, which YAML 1.1 takes for text, and in escapes of characters above U+FFFF, which libyaml refuses."""
    try:
        return json.loads(text) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        return None


def _with_numbers_of_json(node: Any, value: Any) -> Any:
    if isinstance(node, Map) and isinstance(value, dict):
        for key in node.keys() & value.keys():
            node[key] = _with_numbers_of_json(node[key], value[key])
    elif isinstance(node, Seq) and isinstance(value, list):
        node[:] = map(_with_numbers_of_json, node, value)
    elif isinstance(value, float):
        return value
    return node


def _placed(value: Any, file: str, depth: int = 0) -> Any:
    """JSON's data as `Map` and `Seq`, all placed at the top of the file."""
    if depth > MAX_DEPTH or not isinstance(value, dict | list):
        return value
    node: Map | Seq
    if isinstance(value, dict):
        node = Map({key: _placed(item, file, depth + 1) for key, item in value.items()})
    else:
        node = Seq(_placed(item, file, depth + 1) for item in value)
    node._start(file, 1, 1)
    return node


def _syntax_fault(error: yaml.YAMLError, text: str, file: str, faults: Faults) -> None:
    place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if place is None:
        faults.add(Mark(file), "", f"is not YAML: {str(error).splitlines()[0]}")
        return
    lines = text.splitlines()
    line = lines[place.line] if place.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        mark = Mark(file, place.line + 1, indent.index("\t") + 1)
        faults.add(mark, "", "a tab in the indentation", "YAML indents with spaces")
        return
    problem = getattr(error, "problem", None) or "cannot be understood"
    hints = {
        "mapping values are not allowed in this context": "quote a text that holds ': ', and look at the indentation",
        "found character that cannot start any token": "quote a text that begins with @, ` or %",
        "did not find expected key": "is the line indented like its neighbours?",
    }
    hint = hints.get(problem, "")
    if not hint and line.strip().startswith(("{{", "- {{")):
        hint = "quote a text that begins with {{"
    faults.add(Mark(file, place.line + 1, place.column + 1), "", f"is not YAML: {problem}", hint)
