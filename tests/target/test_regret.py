"""A release is taken back later, with what came with it, on this machine and without systemd."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmops.target import wire
from swarmops.target.kinds import _releases as releases
from swarmops.target.kinds import release
from tests.target.harness import Here, command, landed, sha


class App:
    """A role with two releases, a configuration, a program that `run` starts and one more file of its own."""

    def __init__(self, here: Here, folder: Path):
        self.here, self.folder = here, folder
        self.link, self.conf, self.log = folder / "app", folder / "app.conf", folder / "log"
        self.ids = {}
        for n in ("1", "2", "3"):
            self.ids[n] = release._id(self.args(n))
            home = folder / "releases" / self.ids[n]
            (home / "lib").mkdir(parents=True)
            (home / "release.json").write_text(json.dumps({"signs": releases._signs(str(home))}))

    def args(self, n: str) -> dict[str, Any]:
        """Of the release number n. It is on the host already, so that no wheel of it is asked for."""
        made: dict[str, Any] = {"name": "app", "extras": [], "state": "present", "keep": 3, "root": str(self.folder)}
        return {
            **made,
            "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "wheels": [{"name": n, "sha256": n * 64, "size": 1}],
        }

    def steps(self, n: str, conf: bytes) -> list[dict[str, Any]]:
        code = wire.step("r/code", "r", "code", "release", self.args(n))
        settings = landed("r", self.conf, conf)
        # It runs with the configuration that names its release, or with any other that does not say "only".
        numbers = "; ".join(f"*/{id}) n={n}" for n, id in self.ids.items()).replace("; ", ";; ")
        runs = f"case $(readlink {self.link}) in {numbers};; esac; echo $n >> {self.log}; c=$(cat {self.conf}); "
        runs += 'case "$c" in only*) [ "$c" = "only $n" ];; esac'
        watched = ["r/code", settings["id"]]
        return [code, settings, command("r", "runs", ["/bin/sh", "-c", runs], handler=True, watches=watched)]

    def deploy(self, n: str, conf: bytes, run: str) -> bool:
        return self.here.play(self.steps(n, conf), {sha(conf): conf}, run=run)["done"]["ok"]

    def back(self, now: str, before: str, conf: bytes = b"") -> dict[str, Any]:
        steps = self.steps(now, conf)
        said = self.here.play(
            steps, run="back1", back={"step": "r/code", "now": self.ids[now], "before": self.ids[before]}
        )
        assert said["done"]["ok"] == (said["r/code"]["s"] == "changed")
        return said["r/code"]

    def standing(self) -> dict[str, Any]:
        child = self.here.start([], mode="releases", links=[str(self.link)])
        found = [e for e in self.here.events(child, {}) if e["e"] == "release"]
        child.communicate(timeout=60)
        for key in {"now", "before"} & set(found[0]):
            found[0][key] = self.number(found[0][key])
        return {k: v for k, v in found[0].items() if k not in ("e", "link")}

    @property
    def now(self) -> tuple[str, bytes]:
        return self.number(self.link.readlink().name), self.conf.read_bytes()

    def number(self, id: str) -> str:
        return next(n for n, known in self.ids.items() if known == id)


@pytest.fixture
def app(here: Here, tmp_path: Path) -> App:
    app = App(here, tmp_path)
    assert app.deploy("1", b"one", "run1")
    return app


def test_the_release_before_is_known_from_when_the_service_ran_with_the_new_one(app: App) -> None:
    assert app.standing() == {"now": "1"}, "there is none before the first"
    assert app.deploy("2", b"two", "run2")
    said = app.standing()
    assert (said["now"], said["before"]) == ("2", "1") and 0 <= said["age"] < 60
    assert app.deploy("2", b"two", "run3") and app.standing()["age"] >= said["age"], "nothing was switched"
    (app.folder / f"releases/{app.ids['1']}/release.json").unlink()
    assert "before" not in app.standing(), "it is not whole"


def test_it_goes_back_with_what_came_with_it_and_not_twice(app: App) -> None:
    app.deploy("2", b"two", "run2")
    assert "is back and running" in app.back("2", "1")["why"]
    assert app.now == ("1", b"one") and app.log.read_text().split() == ["1", "2", "1"]
    assert app.standing() == {"now": "1"}
    said = app.back("1", "2")
    assert said["s"] == "skipped" and app.now == ("1", b"one")
    # The user's word counts, and what is declared is tried again from the start.
    assert app.deploy("2", b"two", "run3") and app.now == ("2", b"two")
    assert app.log.read_text().split()[3:] == ["2"] and app.standing()["before"] == "1"


def test_a_release_that_is_deployed_again_after_going_back_is_the_one_before_no_more(app: App) -> None:
    app.deploy("2", b"two", "run2")
    app.back("2", "1")
    assert app.deploy("1", b"one", "run3") and app.now == ("1", b"one")
    assert app.log.read_text().split() == ["1", "2", "1", "1"] and "before" not in app.standing()


def test_a_later_configuration_stays_and_one_that_the_old_release_refuses_is_told(app: App) -> None:
    app.deploy("2", b"two", "run2")
    app.deploy("2", b"only 2", "run3")
    said = app.back("2", "1")
    assert said["s"] == "failed" and "is back, and does not run either" in said["why"]
    assert app.now == ("1", b"only 2"), "it is not put to and fro"
    assert app.deploy("2", b"only 2", "run4") and app.now == ("2", b"only 2")


def test_what_was_deployed_meanwhile_is_left_alone(app: App) -> None:
    app.deploy("2", b"two", "run2")
    app.deploy("3", b"three", "run3")
    said = app.back("2", "1")
    assert said["s"] == "skipped" and "by now it is app-" in said["why"]
    assert app.now == ("3", b"three")


def test_a_switch_by_hand_is_nothing_to_go_back_from(app: App) -> None:
    app.deploy("2", b"two", "run2")
    app.link.unlink()
    app.link.symlink_to(f"releases/{app.ids['3']}")
    assert app.standing() == {"now": "3"}


def test_a_deploy_that_failed_has_gone_back_already(app: App) -> None:
    assert not app.deploy("2", b"only 3", "run2")
    assert app.now == ("1", b"one") and "before" not in app.standing()
