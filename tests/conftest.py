"""For all tests: hypothesis judges what comes out, not how long a busy machine took; Ctrl-C is heard."""

import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("swarmops", deadline=None)
settings.load_profile("swarmops")

# A shell ignores SIGINT for what it runs in the background, and programs that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = "test_other_versions.py"  # begun first, or one worker would be at it when the other has nothing left to do
IMAGE = 1500  # seconds: the first test that needs hosts also builds the lab's image


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != LONGEST)
    for item in items:
        if item.get_closest_marker("infra") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(IMAGE))


def lacking(reason: str) -> None:
    """Skip on a laptop where something is missing; in CI, which installs everything by itself, that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)
