"""A coordinator process of the demo: python -m swarmops.runtime.demo.coordinator ID LEASE"""

from __future__ import annotations

import sys

from swarmops.runtime import Runtime
from swarmops.runtime.coordinator.duties import Coordinator


def main() -> None:
    with Runtime() as rt, Coordinator(rt, sys.argv[1], lease=float(sys.argv[2]), distribute=0.1) as coordinator:
        coordinator.wait()


if __name__ == "__main__":
    main()
