"""Looking for agents goes by indexes: as much work for many keys as for few."""

from __future__ import annotations

import pytest

from swarmops.runtime import Runtime, scripts
from swarmops.runtime.op import Op

OURS = [n for n in scripts.names() if n.split("_")[0] in ("agent", "swarm", "leader")]


def commands(rt: Runtime, op: Op[object]) -> int:
    """How many commands Redis carries out for `op`."""
    rt.run(op)
    rt.run(Op("", ("x",), ("CONFIG", "RESETSTAT")))
    rt.run(op)
    stats = rt.run(Op("", ("x",), ("INFO", "commandstats"))).decode().split()
    calls = {s.split(":")[0]: int(s.split("calls=")[1].split(",")[0]) for s in stats if "calls=" in s}
    return sum(n for name, n in calls.items() if "config" not in name)


@pytest.mark.parametrize("what", ["list", "find", "get"])
def test_looking_takes_the_same_few_commands_for_10_and_for_500_agents(rt: Runtime, what: str) -> None:
    """S2-02: indexes, no search through the keys; so other keys do not matter either."""
    op = {"list": rt.agents.list.op(), "find": rt.agents.find.op(["gpu"]), "get": rt.agents.get.op("a1")}[what]
    counts = []
    for many in (10, 500):
        rt.run_many([rt.agents.register.op(f"a{i}", ["gpu"]) for i in range(many)])
        counts.append(commands(rt, op))
    assert counts[0] == counts[1] <= 6
    for name in OURS:
        assert not {"'KEYS'", "'SCAN'", "'HSCAN'"} & set(scripts.load(name).source.decode().replace(",", " ").split())
