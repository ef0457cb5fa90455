"""S3 of the baseline: all rooms work for the user `app` that roles/redis renders, who may do little else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import Template

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Unavailable
from swarmops.runtime.op import command
from tests.runtime.server import Server, modern
from tests.runtime.smoke import everything

pytestmark = modern
TEMPLATE = Path(__file__).parents[2] / "templates" / "redis" / "users.acl.j2"


def rules(**more: bool) -> list[str]:
    """The line of `app`, with the role's own defaults in place of what is rendered."""
    values = {"app_keys": ["swarm:*"], "app_channels": ["swarm:*"], "reads_apart": True, **more}
    text = Template(TEMPLATE.read_text()).render(hashes={"app": ">secret-of-app"}, **values)
    return next(one for one in text.splitlines() if one.startswith("user app")).split()[2:]


@pytest.fixture
def app(own_server: Callable[..., Server]) -> Runtime:
    server = own_server()
    with Runtime(server.settings) as admin:
        admin.run(command("x", "ACL", "SETUSER", "app", *rules()))
        admin.run(command("x", "ACL", "SETUSER", "default", "off"))
    return Runtime(server.settings.but(username="app", password="secret-of-app"))


def test_every_room_works_for_the_user_of_the_role(app: Runtime) -> None:
    with app as rt:
        assert everything(rt)["stats"]


@pytest.mark.parametrize(
    "words",
    [("SET", "elsewhere", "1"), ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "dir"), ("EVAL", "return 1", "0")],
)
def test_it_may_do_nothing_else(app: Runtime, words: tuple[str, ...]) -> None:
    """Case 88: said as a permission, not as a crash."""
    with app as rt, pytest.raises(Unavailable, match="permission") as e:
        rt.run(command("x", *words))
    assert e.value.kind == "permission"
