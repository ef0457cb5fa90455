"""From the parser's events to nodes with places; what must not be in a file is a fault on the way."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from swarmops.model.faults import Faults, Mark
from swarmops.model.placed import Map, Seq, Unsafe, Vaulted

MAX_DEPTH = 20
MAX_ANCHOR = 100  # nodes under one anchor
VAULT_TAGS = ("!vault", "!vault-encrypted")
_MERGE = "tag:yaml.org,2002:merge"


class Stop(Exception):
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


class Builder:
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
        raise Stop

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
        # Quotes make text, except after !unsafe: there Ansible resolves the text again.
        if not (event.implicit[0] or tag == "!unsafe") or not _maybe_special(text):
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
            self.stop(
                event, f"*{event.anchor} has no anchor &{event.anchor} before it", "quote a text that begins with *"
            )
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
