"""A release that turns ill after its deploy went well: reconcile puts the one before back, once; a deploy ends that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarmops.delivery import release
from swarmops.delivery.release.lock import locked
from swarmops.lab import Guest
from tests.infra.small import Small, until
from tests.infra.test_release_on_hosts import DEBIAN_13, ROOT, SERVICE, UNIT, Api

HOSTS = {"host-1": "10.77.43.10"}
ROLE = """\
role: api
vars: {mode: plain, patience: 60s}
tasks:
  - {name: release, release: {name: api, extras: [api]}, notify: [restart api, answers]}
  - name: settings
    copy: {content: "MODE={{ mode }}\\n", dest: /etc/api.env, mode: "0644"}
    notify: [restart api, answers]
  - {name: program, template: {src: api.py, dest: /etc/api.py, mode: "0644"}, notify: [restart api, answers]}
  - {name: unit, template: {src: api.service, dest: /etc/systemd/system/api.service}, notify: [restart api, answers]}
  - {name: keep it running, systemd: {name: api, state: started}}
handlers:
  - {name: restart api, systemd: {name: api, state: restarted}}
  - {name: answers, wait: {port: 8002, timeout: "{{ patience }}"}}
checks:
  - {name: api answers, http: {url: "http://127.0.0.1:8002/health"}}
  - {name: api is up, systemd: {unit: api}}
"""
# Well until somebody says so; then it is gone, and no start of it works any more.
ILL_LATER = """
def _ill():
    import os, time
    while not os.path.exists("/etc/api.ill"):
        time.sleep(0.1)
    os._exit(3)
__import__("threading").Thread(target=_ill, daemon=True).start()
"""
# It knows the modes a and b.
REFUSES = """
import os
if os.environ.get("MODE") == "c":
    os._exit(4)
"""
LOOPS = "[Service]\nRestart=always\nRestartSec=100ms\n[Unit]\nStartLimitIntervalSec=0\n"


def declare(small: Small, **more: str) -> None:
    hosts = {n: {"ansible_host": a} for n, a in HOSTS.items()}
    small.declare({"infrastructure": {"api": "web"}}, {"web": hosts}, **more)


@pytest.fixture(scope="module")
def api(can_lab: None, own_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("window")
    code = folder / "code"
    for part in ("swarmops", "roles", "templates"):
        shutil.copytree(ROOT / part, code / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", code)
    small = Small.up(own_name("window"), [Guest(n, a) for n, a in HOSTS.items()], folder)
    try:
        small.controller.env["PYTHONPATH"] = str(code)
        declare(small)
        small.file("roles/api/role.yaml", ROLE)
        small.file("templates/api/api.py", SERVICE)
        small.file("templates/api/api.service", unit())
        made = Api(small, code)
        locked(release.locks(made.state), ["api"], DEBIAN_13)
        yield made
    finally:
        small.lab.down(now=True)


def unit(more: str = "") -> str:
    return UNIT.replace("ExecStart", "EnvironmentFile=/etc/api.env\nExecStart") + more


def rounds(api: Api, *more: str) -> tuple[int, list[dict[str, Any]]]:
    said = api.small.controller.run("reconcile", "lan", "--once", "--json", "--most", "1", "--cooldown", "0", *more)
    assert said.out, said
    return said.code, [json.loads(line) for line in said.out.splitlines()]


def status(api: Api) -> tuple[str, str]:
    node = api.small.controller.run("status", "lan", "--json").json["nodes"][0]
    return node["status"], node["why"]


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [t["type"] for t in told]


def falls_ill(api: Api) -> None:
    api.small.on("host-1", "touch /etc/api.ill")
    until(lambda: api.small.on("host-1", "systemctl is-active api", well=False) == "failed", 60, "it turns ill")


def test_what_turns_ill_in_the_window_goes_back_once(api: Api) -> None:
    api.change("9.0")
    assert api.deploy("-e", "api_mode=a").code == 0
    good = api.current()
    assert rounds(api)[0] == 0

    api.change("9.1", ILL_LATER)
    said = api.deploy("-e", "api_mode=b")
    assert said.code == 0 and api.says()["version"] == "9.1", said
    bad = api.current()
    falls_ill(api)

    code, told = rounds(api, "--watch-only", "--rollback-window", "600")
    assert code == 1 and kinds(told) == ["node", "back", "round"], told
    assert told[1]["would"] and (told[1]["from"], told[1]["to"]) == (bad, good) and api.current() == bad
    code, told = rounds(api)
    assert kinds(told) == ["remedy", "round"], "a restart comes first, and does not help"
    code, told = rounds(api)
    assert code == 1 and kinds(told) == ["back", "node", "round"], told
    assert (told[0]["from"], told[0]["to"], told[0]["code"], told[1]["to"]) == (bad, good, 0, "error"), told
    assert api.current() == good and api.says()["version"] == "9.0"
    assert api.small.on("host-1", "cat /etc/api.env") == "MODE=a", "what came with it goes with it"

    for _ in range(2):
        code, told = rounds(api)
        assert code == 1 and kinds(told) == ["round"] and told[0]["nodes"] == {"error": 1}
    now, why = status(api)
    assert now == "error" and f"api went back from {bad} to {good}: api " in why, why


def test_who_deploys_it_again_keeps_it(api: Api) -> None:
    """The same wheel: the declared release comes again, the error is over, and nothing goes back a second time."""
    api.small.on("host-1", "rm /etc/api.ill")
    said = api.deploy("-e", "api_mode=b")
    assert said.code == 0 and api.says()["version"] == "9.1", said
    assert api.small.on("host-1", "cat /etc/api.env") == "MODE=b" and status(api) == ("online", "")
    bad = api.current()
    falls_ill(api)
    told = [t for _ in range(3) for t in rounds(api)[1]]
    assert kinds(told) == ["node", "remedy", "round", "node", "round", "round"], told
    assert api.current() == bad and "restarted api 1 times" in status(api)[1]

    api.change("9.0")
    assert api.deploy("-e", "api_mode=a").code == 0 and api.says()["version"] == "9.0"
    code, told = rounds(api)
    assert code == 0 and told[-1]["nodes"] == {"online": 1} and status(api)[0] == "online", told


def test_a_crash_loop_goes_back_at_once_and_what_the_old_one_refuses_is_told(api: Api) -> None:
    """The unit came with the new release and goes with it. The settings came later: they stay, and the old one does
    not run with them."""
    api.small.on("host-1", "rm -f /etc/api.ill")
    api.change("9.3", REFUSES)
    assert api.deploy("-e", "api_mode=a").code == 0
    good = api.current()
    api.change("9.4", ILL_LATER)
    api.small.file("templates/api/api.service", unit(LOOPS))
    assert api.deploy("-e", "api_mode=a").code == 0
    assert api.deploy("-e", "api_mode=c").code == 0 and api.says()["version"] == "9.4"
    api.small.on("host-1", "touch /etc/api.ill")
    again = "systemctl show -P NRestarts api"
    until(lambda: int(api.small.on("host-1", again)) >= 3, 60, "it crash-loops")
    declare(api.small, api_patience="2s")
    code, told = rounds(api)
    assert code == 1 and "remedy" not in kinds(told), told
    back = next(t for t in told if t["type"] == "back")
    assert back["code"] == 1 and "/opt/swarmops/api" in back["text"] and "does not run either" in back["text"], back
    assert api.current() == good and api.small.on("host-1", "cat /etc/api.env") == "MODE=c"
    assert "Restart=always" not in api.small.on("host-1", "cat /etc/systemd/system/api.service")
    assert status(api)[0] == "error" and "does not run either" in status(api)[1]
    declare(api.small)
    api.small.on("host-1", "rm /etc/api.ill")
    assert api.deploy("-e", "api_mode=c").code == 0 and status(api) == ("online", "")
