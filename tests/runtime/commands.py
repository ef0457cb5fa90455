"""Commands of `swarmops`, run in the test's own process: quick, and the output is all there."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from swarmops.cli import run


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def document(self, schema: str) -> Any:
        """Its JSON, if it ended well and is of this schema."""
        assert self.code == 0, self.err
        assert self.json["schema"] == schema, self.json["schema"]
        return self.json


Command = Callable[..., Said]


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs `swarmops` with its arguments; stdin: text or bytes."""

    def command(*args: str, stdin: str | bytes = "") -> Said:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["swarmops", *args])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as e:
            run()
        said = capsys.readouterr()
        return Said(int(e.value.code or 0), said.out, said.err)

    return command
