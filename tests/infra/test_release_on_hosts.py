"""A release of Python on one host: landed, switched, taken back, kept. The host has no index and no internet."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarmops.delivery import records, release
from swarmops.delivery.release.lock import locked
from swarmops.delivery.release.parts import Target
from swarmops.lab import Guest
from tests.infra.small import Small

ROOT = Path(__file__).parents[2]
DEBIAN_13 = Target("3.13", "x86_64", "glibc 2.41")
SERVICE = """\
import os, sys
sys.path.insert(0, os.path.realpath("/opt/swarmops/api/lib"))
import fastapi, uvicorn
from swarmops import __version__, runtime
app = fastapi.FastAPI()
@app.get("/health")
def health():
    return {"version": __version__, "from": fastapi.__file__}
uvicorn.run(app, host="127.0.0.1", port=8002)
"""
UNIT = """\
[Service]
ExecStart=/usr/bin/python3 -ISB /etc/api.py
DynamicUser=yes
ProtectSystem=strict
"""
ROLE = """\
role: api
vars: {patience: 60s}
tasks:
  - {name: release, release: {name: api, extras: [api]}, notify: [restart api, answers]}
  - {name: program, template: {src: api.py, dest: /etc/api.py}, notify: [restart api, answers]}
  - {name: unit, template: {src: api.service, dest: /etc/systemd/system/api.service}, notify: restart api}
  - {name: keep it running, systemd: {name: api, state: started}}
handlers:
  - {name: restart api, systemd: {name: api, state: restarted}}
  - {name: answers, wait: {port: 8002, timeout: "{{ patience }}"}}
"""
ASK = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8002/health\").read().decode())'"


class Api:
    """One host, and a copy of swarmops whose code tests may change."""

    def __init__(self, small: Small, code: Path):
        self.small, self.code = small, code
        self.state = Path(small.lab.environment()["SWARMOPS_STATE"])

    def deploy(self, *args: str):
        return self.small.controller.deploy(*args)

    def change(self, version: str, broken: str = "") -> None:
        """Another version of the code. A `broken` last line of it breaks services, and not the controller."""
        (self.code / "swarmops/__init__.py").write_text(f'__version__ = "{version}"\n')
        runtime = self.code / "swarmops/runtime/__init__.py"
        runtime.write_text((ROOT / "swarmops/runtime/__init__.py").read_text() + f"\n{broken}\n")

    def says(self) -> dict:
        return json.loads(self.small.on("host-1", ASK))

    def releases(self) -> list[str]:
        return self.small.on("host-1", "ls -t /opt/swarmops/releases").split()

    def made_of(self, release: str) -> list[dict]:
        return json.loads(self.small.on("host-1", f"cat /opt/swarmops/releases/{release}/release.json"))["wheels"]

    def current(self) -> str:
        return self.small.on("host-1", "readlink /opt/swarmops/api").rpartition("/")[2]

    def step(self, said, name: str) -> dict:
        assert said.out, said
        found = [s for s in said.json["steps"] if s["id"] == f"api/{name}"]
        assert found, str(said)
        return found[0]


@pytest.fixture(scope="module")
def api(can_lab: None, own_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("release")
    code = folder / "code"
    for part in ("swarmops", "roles", "templates"):
        shutil.copytree(ROOT / part, code / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", code)
    small = Small.up(own_name("release"), [Guest("host-1", "10.77.41.10")], folder)
    try:
        small.controller.env["PYTHONPATH"] = str(code)
        small.declare({"infrastructure": {"api": "web"}}, {"web": {"host-1": {"ansible_host": "10.77.41.10"}}})
        small.file("roles/api/role.yaml", ROLE)
        small.file("templates/api/api.py", SERVICE)
        small.file("templates/api/api.service", UNIT)
        # The lab has no way to an index: what is chosen and downloaded is there before.
        api = Api(small, code)
        locked(release.locks(api.state), ["api"], DEBIAN_13)
        yield api
    finally:
        small.lab.down(now=True)


def test_a_release_lands_and_runs(api: Api) -> None:
    looked = api.small.controller.run("deploy", "lan", "--check", "--diff", "--json")
    assert "wheels are sent" in api.step(looked, "release")["diff"], looked
    assert api.small.on("host-1", "ls /opt/swarmops", well=False) == "", "check mode changes nothing"
    first = api.deploy()
    assert first.code == 0, str(first)
    assert api.says()["from"].startswith("/opt/swarmops/releases/api-")
    assert api.small.on("host-1", "/opt/swarmops/api/bin/swarmops --version").startswith("swarmops ")
    again = api.deploy()
    assert again.code == 0 and api.small.controller.changed(again) == [], again


def test_new_code_alone_is_sent_and_three_releases_are_kept(api: Api) -> None:
    for version in ("7.1", "7.2", "7.3"):
        api.change(version)
        looked = api.small.controller.run("deploy", "lan", "--check", "--diff", "--json")
        diff = api.step(looked, "release")["diff"]
        assert re.search(r" 1 of \d\d wheels are sent", diff) and f"  swarmops-{version}-" in diff, diff
        said = api.deploy()
        assert said.code == 0 and api.says()["version"] == version, str(said)
    assert len(api.releases()) == 3
    wheels = api.small.on("host-1", "ls /opt/swarmops/wheels; ls -A /var/lib/swarmops/incoming").split()
    assert len(wheels) == len(api.made_of(api.current())) + 2, "two wheels of ours besides, nothing that is waiting"


def test_a_bad_release_gives_way_to_the_one_before(api: Api) -> None:
    good, version_before = api.current(), api.says()["version"]
    for version, broken in (("8.0", "__import__('time').sleep(600)"), ("8.1", "raise SystemExit('broken')")):
        api.change(version, broken)  # it starts and never answers, or it does not start
        said = api.deploy("-e", "api_patience=10s")
        failed = api.small.controller.failed(said)
        assert said.code == 1 and "the previous /opt/swarmops/api is back and running" in str(failed), str(said)
        assert api.current() == good and api.says()["version"] == version_before
        assert good in api.releases() and len(api.releases()) <= 3
    again = api.deploy("-e", "api_patience=10s")
    assert again.code == 1 and api.current() == good, "it is tried again, and fails again"
    api.change("8.2")
    assert api.deploy().code == 0
    assert api.says()["version"] == "8.2"


def test_going_back_sends_nothing(api: Api) -> None:
    """The former release is still there: deploying the former code switches to it."""
    api.change("7.3")
    said = api.small.controller.run("deploy", "lan", "--check", "--diff", "--json")
    assert " 0 of " in api.step(said, "release")["diff"], str(said)
    assert api.deploy().code == 0 and api.says()["version"] == "7.3"


def test_what_was_changed_by_hand_is_made_anew(api: Api) -> None:
    api.small.on("host-1", "echo '# mine' >> /opt/swarmops/api/lib/swarmops/__init__.py")
    said = api.deploy()
    assert said.code == 0 and "host-1 api/release" in api.small.controller.changed(said), str(said)
    assert api.small.on("host-1", "cat /opt/swarmops/api/lib/swarmops/__init__.py") == '__version__ = "7.3"'


def test_a_host_with_another_python_is_told_and_then_served(api: Api) -> None:
    """What was recorded of the host is no longer so: it refuses, says what it has, and the next deploy is right."""
    records.remember_pythons(api.state, {"host-1": {"python": "3.12", "arch": "x86_64", "libc": "glibc 2.36"}})
    locked(release.locks(api.state), ["api"], Target("3.12", "x86_64", "glibc 2.36"))
    said = api.deploy()
    assert "for Python 3.12, this host has 3.13 by now: deploy again" in str(said), str(said)
    again = api.deploy()
    assert again.code == 0 and api.small.controller.changed(again) == [], str(again)


def test_without_an_index_one_line_says_so(api: Api) -> None:
    api.small.controller.env["UV_HTTP_RETRIES"] = "0"
    for lock in release.locks(api.state).glob("*.json"):
        lock.unlink()
    said = api.deploy()
    assert said.code == 1 and said.err.strip().splitlines()[-1].startswith("the package index cannot be reached"), said
