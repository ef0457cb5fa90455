"""YAML as Ansible reads it, with the place of everything, for files that nobody should have to trust.

`load` parses with libyaml and builds its own nodes: a dict is a `Map`, a list a `Seq`, scalars are plain Python values
by the rules of YAML 1.1. What Ansible (PyYAML) accepts in silence and what hurts later is a fault here: duplicate
keys, tags, a second document, aliases that grow, depth (reliability-security 3b, cases 4-16).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from swarmops.model.faults import Faults, InputError, Mark
from swarmops.model.textfile import hidden_characters, read_text, shown

MAX_DEPTH = 20
MAX_ANCHOR = 100  # nodes under one anchor
VAULT_TAGS = ("!vault", "!vault-encrypted")
_Parser = getattr(yaml, "CParser", None) or yaml.SafeLoader
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


class _Placed:
    """What `Map` and `Seq` share: where they and their items stand. Made by hand, they have no place."""

    __slots__ = ()
    file: str
    line: int
    column: int
    _places: dict[Any, tuple[int, int, int, int]]
    _raws: dict[Any, str]

    def _start(self, file: str, line: int, column: int) -> None:
        self.file, self.line, self.column = file, line, column
        self._places, self._raws = {}, {}

    @property
    def mark(self) -> Mark:
        """Where it begins."""
        return Mark(self.file, self.line, self.column)

    def key_mark(self, key: Any) -> Mark:
        """Where the key stands (for a `Seq`: the item); where the whole begins when the key is not there."""
        place = self._places.get(key)
        return Mark(self.file, place[0], place[1]) if place else self.mark

    def value_mark(self, key: Any) -> Mark:
        """Where the value of the key (the item at the index) stands."""
        place = self._places.get(key)
        return Mark(self.file, place[2], place[3]) if place else self.mark

    def raw(self, key: Any) -> str | None:
        """The text that was written for an unquoted scalar that is not read as text (`no`, `22:22`, `0600`);
        for text, the text; None for anything else."""
        value = self[key]  # type: ignore[index]
        return value if isinstance(value, str) else self._raws.get(key)

    def _adopt(self, key: Any, other: _Placed, other_key: Any) -> None:
        """Takes place and text of another node's item (merge keys)."""
        if other_key in other._places:
            self._places[key] = other._places[other_key]
        if other_key in other._raws:
            self._raws[key] = other._raws[other_key]


class Map(_Placed, dict):
    """A mapping that knows its places."""

    __slots__ = ("_key_raws", "_places", "_raws", "column", "file", "line")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._start("", 0, 0)
        self._key_raws: dict[Any, str] = {}

    def raw_key(self, key: Any) -> str:
        """The key as it was written: `on` where the key is read as True."""
        return self._key_raws.get(key, str(key))


class Seq(_Placed, list):
    """A list that knows its places."""

    __slots__ = ("_places", "_raws", "column", "file", "line")

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._start("", 0, 0)


class Unsafe(str):
    """Text under `!unsafe`: in Ansible's words, never a template (here no inventory value is)."""

    __slots__ = ()


class Vaulted:
    """A `!vault` value that was not opened. Using it as text is the user's mistake, and says so."""

    __slots__ = ("ciphertext", "mark")

    def __init__(self, ciphertext: str, mark: Mark | None = None):
        self.ciphertext = ciphertext
        self.mark = mark or Mark()

    def __repr__(self) -> str:
        return f"<vault text, {self.mark}>"

    def __str__(self) -> str:
        raise InputError.one(
            "is encrypted by ansible-vault and no password was given",
            mark=self.mark,
            hint="--vault-password-file FILE or ANSIBLE_VAULT_PASSWORD_FILE",
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vaulted) and other.ciphertext == self.ciphertext

    def __hash__(self) -> int:
        return hash(self.ciphertext)


def plain(value: Any) -> Any:
    """The same data as ordinary dicts, lists and str, for dumpers that know no others."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, str) and type(value) is not str else value


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
    builder = _Builder(file, faults)
    parser = _Parser(text)
    try:
        node = builder.build(parser)
        return _with_numbers_of_json(node, _json(text)) if text.lstrip()[:1] == "{" else node
    except yaml.YAMLError as e:
        as_json = _json(text)
        if as_json is not None:
            return _placed(as_json, file)
        _syntax_fault(e, text, file, faults)
    except _Stop:
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


class _Stop(Exception):
    """The fault is noted and the rest of the file cannot be read."""


class _Frame:
    """A collection that is being filled."""

    __slots__ = ("anchor", "height", "is_map", "key", "key_mark", "merges", "node", "skip", "unsafe", "waiting")

    def __init__(self, node: Map | Seq, anchor: str | None, unsafe: bool):
        self.node = node
        self.anchor = anchor
        self.unsafe = unsafe
        self.is_map = isinstance(node, Map)
        self.waiting = False  # for the value of `key`
        self.skip = False  # that value: its key was not usable
        self.key: Any = None
        self.key_mark: Any = None
        self.merges: Any = None
        self.height = 1


class _Builder:
    """Builds nodes from parser events, without recursion."""

    def __init__(self, file: str, faults: Faults):
        self.file = file
        self.faults = faults
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Any] = {}  # name -> (node, raw, size, height); None while its node is open
        self.count = 0
        self.starts: list[int] = []  # self.count when each open collection began
        self.result: Any = None

    def build(self, parser: Any) -> Any:
        documents = 0
        while (event := parser.get_event()) is not None:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self.scalar(event)
            elif kind is yaml.MappingStartEvent:
                self.open(event, Map())
            elif kind is yaml.SequenceStartEvent:
                self.open(event, Seq())
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self.close()
            elif kind is yaml.AliasEvent:
                self.alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents == 2:
                    self.stop(event, "a second document begins here", "one document a file")
            elif kind is yaml.StreamEndEvent:
                break
        return self.result

    def mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def fault(self, event: Any, sentence: str, hint: str = "") -> None:
        self.faults.add(self.mark(event), "", sentence, hint)

    def stop(self, event: Any, sentence: str, hint: str = "") -> None:
        self.fault(event, sentence, hint)
        raise _Stop

    def unsafe(self, event: Any) -> bool:
        return event.tag == "!unsafe" or bool(self.stack and self.stack[-1].unsafe)

    def open(self, event: Any, node: Map | Seq) -> None:
        """A mapping or list begins."""
        if event.tag in VAULT_TAGS:
            self.fault(event, f"{event.tag} needs a text", "ansible-vault encrypt_string makes one")
        elif event.tag and event.tag not in ("!unsafe", "!"):
            self.tag_fault(event)
        if len(self.stack) >= MAX_DEPTH:
            self.stop(event, f"is nested more than {MAX_DEPTH} deep")
        if self.stack and self.stack[-1].is_map and not self.stack[-1].waiting:
            self.stop(event, "a key must be a text, not a list or a map", "quote a text that begins with { or [")
        node._start(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        self.declare(event)
        frame = _Frame(node, event.anchor, self.unsafe(event))
        self.starts.append(self.count)
        self.count += 1
        if self.stack:
            self.put(node, event.start_mark, None)
        else:
            self.result = node
        self.stack.append(frame)

    def close(self) -> None:
        frame = self.stack.pop()
        size = self.count - self.starts.pop()
        if frame.merges is not None:
            _merge(frame.node, frame.merges)
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, frame.height + 1)
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.node, None, size, frame.height)

    def declare(self, event: Any) -> None:
        if event.anchor:
            if event.anchor in self.anchors:
                self.fault(event, f"the anchor &{event.anchor} is set twice")
            self.anchors[event.anchor] = None

    def scalar(self, event: Any) -> None:
        self.count += 1
        value, raw = self.scalar_value(event)
        if event.anchor:
            self.declare(event)
            self.anchors[event.anchor] = (value, raw, 1, 0)
        if not self.stack:
            self.result = value
            return
        frame = self.stack[-1]
        if frame.is_map and not frame.waiting:
            self.key(frame, value, raw, event)
        else:
            self.put(value, event.start_mark, raw)

    def scalar_value(self, event: Any) -> tuple[Any, str | None]:
        """The value and, where it is not text, the text it was written as."""
        text, tag = event.value, event.tag
        if tag in VAULT_TAGS:
            return Vaulted(text, self.mark(event)), None
        if tag and tag not in ("!unsafe", "!"):
            self.tag_fault(event)
        if event.style or tag == "!" or not _maybe_special(text):
            return (Unsafe(text) if self.unsafe(event) else text), None
        try:
            value = _plain_scalar(text)
        except (ValueError, OverflowError, ConstructorError):
            self.fault(event, f"'{text[:40]}' cannot be read", "quote it when it is meant as text")
            return text, None
        if isinstance(value, str):
            return (Unsafe(value) if self.unsafe(event) else value), None
        return value, text

    def tag_fault(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self.fault(event, f"the tag {tag} is not allowed", "only !vault and !unsafe are; without a tag this is data")

    def key(self, frame: _Frame, key: Any, raw: str | None, event: Any) -> None:
        frame.waiting, frame.skip = True, False
        frame.key, frame.key_mark = key, event.start_mark
        node = frame.node
        if key == "<<" and not event.style:
            if frame.merges is not None:
                self.fault(event, "<< is given twice", "one << with a list of aliases merges several")
                frame.skip = True
            frame.merges = frame.merges or ()
        elif isinstance(key, Vaulted):
            self.fault(event, "a key cannot be a vault text")
            frame.skip = True
        elif key in node:
            first = node.key_mark(key)
            self.fault(event, f"the key '{raw or key}' is given twice", f"first in line {first.line}")
            frame.skip = True
        elif raw is not None:
            node._key_raws[key] = raw  # type: ignore[union-attr]

    def put(self, value: Any, mark: Any, raw: str | None) -> None:
        """A finished scalar, an alias' node or a collection that begins, into the collection around it."""
        frame = self.stack[-1]
        node = frame.node
        line, column = mark.line + 1, mark.column + 1
        if not frame.is_map:
            key = len(node)
            node.append(value)  # type: ignore[union-attr]
            node._places[key] = (line, column, line, column)
        else:
            frame.waiting = False
            if frame.skip:
                return
            key = frame.key
            if key == "<<" and frame.merges == ():
                frame.merges = self.merge_sources(value, mark)
                return
            node[key] = value
            node._places[key] = (frame.key_mark.line + 1, frame.key_mark.column + 1, line, column)
        if raw is not None:
            node._raws[key] = raw

    def merge_sources(self, value: Any, mark: Any) -> list[Any]:
        """The maps that `<<` names. A list's own items come later, so the list itself is kept."""
        if isinstance(value, Map | Seq):
            return [value]
        self.faults.add(Mark(self.file, mark.line + 1, mark.column + 1), "", "<< needs a map", "such as <<: *name")
        return []

    def alias(self, event: Any) -> None:
        found = self.anchors.get(event.anchor, "")
        if found == "":
            self.stop(event, f"*{event.anchor} has no anchor &{event.anchor} before it", "quote a text that begins with *")
        if found is None:
            self.stop(event, f"*{event.anchor} is inside its own anchor &{event.anchor}", "it would never end")
        value, raw, size, height = found
        if size > MAX_ANCHOR:
            self.stop(event, f"*{event.anchor} stands for {size} nodes, more than {MAX_ANCHOR}", "use group_vars")
        if len(self.stack) + height > MAX_DEPTH:
            self.stop(event, f"is nested more than {MAX_DEPTH} deep")
        self.count += size
        if not self.stack:
            return
        frame = self.stack[-1]
        frame.height = max(frame.height, height + 1)
        if frame.is_map and not frame.waiting:
            if isinstance(value, Map | Seq):
                self.stop(event, "a key must be a text, not a list or a map")
            event.style = ""
            self.key(frame, value, raw, event)
        else:
            self.put(value, event.start_mark, raw)


def _merge(node: Any, sources: list[Any]) -> None:
    """Merged keys come first, as in PyYAML; of several maps the first wins; the map's own keys win over all."""
    maps = []
    for source in sources:
        maps += [m for m in reversed(source) if isinstance(m, Map)] if isinstance(source, Seq) else [source]
    own = dict(node)
    node.clear()
    for source in maps:
        for key, value in source.items():
            node[key] = value
            if key not in own:
                node._raws.pop(key, None)
                node._adopt(key, source, key)
                node._key_raws.update({k: v for k, v in source._key_raws.items() if k == key})
    node.update(own)


_SPECIAL_FIRST = frozenset(k for k in Resolver.yaml_implicit_resolvers if k) | {""}


def _maybe_special(text: str) -> bool:
    return text[:1] in _SPECIAL_FIRST


@lru_cache(maxsize=8192)
def _plain_scalar(text: str) -> Any:
    """A plain scalar by YAML 1.1's rules, made by PyYAML's own constructors. ValueError when it has no value."""
    for tag, pattern in Resolver.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            if tag == _MERGE:
                return text
            return _construct(tag, text)
    return text


def _construct(tag: str, text: str) -> Any:
    maker = SafeConstructor.yaml_constructors.get(tag)
    if maker is None or tag == "tag:yaml.org,2002:value":
        raise ValueError(text)
    return maker(SafeConstructor(), yaml.ScalarNode(tag, text))
