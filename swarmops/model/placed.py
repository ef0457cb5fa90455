"""Data that knows its places: what `model.yaml` makes of a file."""

from __future__ import annotations

from typing import Any

from swarmops.model.faults import InputError, Mark


class _Placed:
    """What `Map` and `Seq` share: where they and their items stand. Made by hand, they have no place."""

    __slots__ = ()
    file: str
    line: int
    column: int
    _places: dict[Any, tuple[int, int, int, int]]
    _raws: dict[Any, str]

    def _start(self, file: str, line: int, column: int) -> None:
        # The slots are the subclasses': a base of both `dict` and `list` may have none.
        self.file, self.line, self.column = file, line, column  # type: ignore[misc]
        self._places, self._raws = {}, {}  # type: ignore[misc]

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
