"""A coordinator process of the demo: python -m swarmops.runtime.demo.coordinator ID LEASE"""

from __future__ import annotations

import signal
import sys
import threading

from swarmops.runtime import Runtime, Settings
from swarmops.runtime.coordinator.duties import Pace
from swarmops.runtime.coordinator.loop import Coordinator


def main() -> None:
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    pace = Pace(distribute=0.2)
    with Runtime(Settings.find()) as rt, Coordinator(rt, sys.argv[1], pace, float(sys.argv[2])):
        over.wait()


if __name__ == "__main__":
    main()
