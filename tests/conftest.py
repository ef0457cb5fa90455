"""For all tests: hypothesis judges what comes out, not how long a busy machine took."""

import pytest
from hypothesis import settings

settings.register_profile("swarmops", deadline=None)
settings.load_profile("swarmops")

IMAGE = 1500  # seconds: the first test that needs hosts also builds the lab's image


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("infra") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(IMAGE))
