"""`monitoring.interval` and `timeout` rule check-health and reconcile where nothing else is said."""

from __future__ import annotations

from typing import Any

import pytest

from swarmops.health.verdict import Verdict


@pytest.fixture
def looks(declared: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What one look and the pause after it were told."""
    declared.write("version: 1\nmonitoring: {interval: 10m, timeout: 200s}\n")
    found: dict[str, Any] = {}

    def look(*_: Any, deadline: float = 0, **__: Any) -> Verdict:
        found["deadline"] = deadline
        return Verdict((), 0.1, 0.0)

    def sleep(seconds: float) -> None:
        found["pause"] = seconds
        raise KeyboardInterrupt

    monkeypatch.setattr("swarmops.health.collect.look", look)
    monkeypatch.setattr("time.sleep", sleep)
    return found


@pytest.mark.parametrize(
    ("argv", "deadline", "pause"),
    [
        (("check-health", "lan", "--watch"), 199.5, 600),
        (("check-health", "lan", "--watch", "300", "--deadline", "90"), 90, 300),
        (("check-health", "lan", "--watch", "0.1"), 199.5, 0.5),
        (("reconcile", "lan"), None, 600),
        (("reconcile", "lan", "--interval", "400"), None, 400),
    ],
)
def test_pause_and_deadline(
    run: Any, looks: dict[str, Any], argv: tuple[str, ...], deadline: float | None, pause: float
) -> None:
    assert run(*argv)[0] == 130
    assert max(0, pause - 30) <= looks["pause"] <= pause  # what the look took is part of it
    if deadline:
        assert deadline - 30 < looks["deadline"] <= deadline
