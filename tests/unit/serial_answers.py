"""What the real Ansible makes of `serial`: reads [[hosts, serial], ...] as JSON, prints the sizes of the batches."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace


def sizes(hosts: int, serial: list[int | str]) -> list[int]:
    from ansible.executor.playbook_executor import PlaybookExecutor

    play = SimpleNamespace(hosts="all", order=None, serial=serial)
    inventory = SimpleNamespace(get_hosts=lambda pattern, order: list(range(hosts)))
    batches = PlaybookExecutor._get_serialized_batches(SimpleNamespace(_inventory=inventory), play)
    return [len(batch) for batch in batches]


if __name__ == "__main__":
    json.dump([sizes(hosts, serial) for hosts, serial in json.load(sys.stdin)], sys.stdout)
