"""F11, F13: a real master with replicas and sentinels. What two servers have confirmed survives the master."""

from __future__ import annotations

import time
from pathlib import Path

from swarmops.runtime import Runtime
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.op import Op
from tests.runtime.groups import Watched


def test_confirmed_writes_survive_the_death_of_the_master(tmp_path: Path) -> None:
    with Watched(tmp_path) as group:
        assert isinstance(group, Watched)
        with Runtime(group.settings.but(patience=20)) as rt:
            key, accepted, gap, last = rt.keys.queue("q", "numbers"), [], 0.0, time.monotonic()
            for i in range(3000):
                try:
                    rt.run(Op("", (key,), ("SADD", key, i), safe=True, durable=True))
                    accepted.append(i)
                    gap, last = max(gap, time.monotonic() - last), time.monotonic()
                except SwarmError:
                    continue
                if i == 500:
                    group.master.kill()
                if i > 600 and gap > 0.5:
                    break
            found = {int(n) for n in rt.run(Op("", (key,), ("SMEMBERS", key)))}
        assert not [i for i in accepted if i not in found]
        assert len(accepted) > 550 and 0.5 < gap < 60
        print(f"writes again after {gap:.2f} s, {len(accepted)} confirmed, 0 lost")
