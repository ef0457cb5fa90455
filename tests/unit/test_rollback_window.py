"""Whether a service goes back to the release before: the decision alone, as a pure function and as whole rounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.delivery import records
from swarmops.delivery.events import fits
from swarmops.health.verdict import HostHealth, Result, State, Verdict
from swarmops.operate import releases
from swarmops.operate.nodes import Book, Node, Past, Status, judge
from swarmops.operate.reconcile import Reconciler, decide, failing, with_states
from swarmops.operate.window import Policy, Switch, looping, weigh
from swarmops.planning.plan import Plan

B = Switch("api/release", "api-b", "api-a", age=60.0)


def look(state: State = State.CRITICAL, restarts: float = 0) -> HostHealth:
    reach = Result("h", "", "reach", "reach", "ssh", State.OK, "")
    page = Result("h", "api", "api/page", "page", "http", state, "because", service="api")
    unit = Result(
        "h", "api", "api/up", "up", "systemd", State.WARNING if restarts else State.OK, "", restarts, "restarts"
    )
    return HostHealth("h", ("api",), (reach, page, unit))


def weighed(node: Node, switch: Switch | None, policy: Policy, now: float, seen: HostHealth | None = None):
    seen = seen or look()
    return weigh(node, failing(seen), {"api": switch} if switch else {}, looping(seen), policy, now)


def test_restarts_come_first_as_many_as_fit_into_the_window() -> None:
    """The figures of the checklist: 60, 3, 300 and 600 s. It turns ill a minute after the switch."""
    node, policy, told = Node(status=Status.DEGRADED), Policy(), []
    for age in range(60, 1000, 60):
        node, back, wait = weighed(node, replace(B, age=float(age)), policy, float(age))
        if back:
            told.append((age, "back"))
            break
        node, due = decide(node, {} if wait else failing(look()), policy, float(age))
        told += [(age, "restart")] * len(due)
    assert told == [(60, "restart"), (360, "restart"), (420, "back")], "the next restart would be at 660 s"


@pytest.mark.parametrize(
    ("why", "node", "switch", "policy"),
    [
        ("outside of the window", Node(), replace(B, age=600.1), Policy(most=0)),
        ("there is no release before", Node(), replace(B, before=""), Policy(most=0)),
        ("it is no release", Node(), None, Policy(most=0)),
        ("maintenance", Node(hand="maintenance"), B, Policy(most=0)),
        ("it went back from this one", Node(left={"api": ["api-b"]}), B, Policy(most=0)),
        ("it went back, and no deploy came since", Node(gone_back="because", gone_back_at=1.0), B, Policy(most=0)),
        ("it was ill before the switch", Node(ill={"api": 900.0}), B, Policy(most=0)),
        ("the host's clock was put back", Node(), replace(B, age=-5.0), Policy(most=0)),
        ("it was not restarted yet", Node(), B, Policy()),
        ("the window is 0 s wide", Node(), B, Policy(most=0, window=0)),
    ],
)
def test_it_stays(why: str, node: Node, switch: Switch | None, policy: Policy) -> None:
    assert weighed(node, switch, policy, 1000.0)[1] == [], why


def test_it_goes_back_where_restarts_may_not_or_cannot_help() -> None:
    assert weighed(Node(), B, Policy(most=0), 1000.0)[1] == ["api"]
    assert weighed(Node(), B, Policy(act=False), 1000.0)[1] == ["api"], "to be said, not to be done"
    assert weighed(Node(), B, Policy(), 1000.0, look(restarts=3))[1] == ["api"], "systemd has restarted it enough"
    assert weighed(Node(), B, Policy(), 1000.0, look(restarts=2))[1] == []
    # It turned ill in time, though nobody could act at once.
    assert weighed(Node(ill={"api": 500.0}), replace(B, age=1050.0), Policy(most=0), 1000.0)[1] == ["api"]


def test_a_restart_is_given_time_to_help() -> None:
    node, policy = Node(tried={"api": [990.0]}, ill={"api": 985.0}), Policy(most=1)
    assert weighed(node, B, policy, 1000.0)[1:] == ([], ["api"])
    assert weighed(node, replace(B, age=110.0), policy, 1050.0)[1:] == (["api"], [])
    # One that another release got says nothing of this one.
    node = Node(tried={"api": [900.0]}, ill={"api": 985.0})
    after, back, wait = weighed(node, B, policy, 1000.0)
    assert (back, wait, after.tried) == ([], [], {})


def test_after_going_back_the_node_is_in_error_until_a_deploy_ends_well() -> None:
    node = Node(Status.ERROR, "back", 50.0, gone_back="back", gone_back_at=50.0, left={"api": ["api-b"]})
    well = look(State.OK)
    for past in (Past(True, False, False, 10.0), Past(True, True, False, 10.0)):
        assert judge(node, past, well, 60.0).status is Status.ERROR
        assert judge(node, past, well, 60.0).why == "back"
    failed = judge(node, Past(True, False, True, 70.0), well, 80.0)
    assert failed.status is Status.ERROR and failed.gone_back == "back"
    node = judge(node, Past(True, False, False, 70.0), well, 80.0)
    assert (node.status, node.gone_back, node.left) == (Status.ONLINE, "", {"api": ["api-b"]})
    assert (
        judge(replace(node, status=Status.ERROR), Past(True, False, False, 90.0), look(), 95.0).status
        is Status.DEGRADED
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(["well", "ill", "loop", "deploy a", "deploy b"]), st.floats(1, 400)), max_size=60
    ),
    st.integers(0, 3),
)
def test_it_never_goes_to_and_fro(course: list[tuple[str, float]], most: int) -> None:
    """Whatever happens, in whatever order: once from each release, only within the window, and only from the newer."""
    policy, node, now = Policy(most=most, cooldown=100.0), Node(status=Status.ONLINE), 1000.0
    in_use, before, since, deployed, gone = "api-a", "", 0.0, 1.0, list[str]()
    for what, pause in course:
        now += pause
        if what.startswith("deploy"):
            new = "api-" + what[-1]
            if new != in_use:
                in_use, before, since = new, in_use, now
            deployed = now
            continue
        seen = look(State.OK) if what == "well" else look(restarts=3 if what == "loop" else 0)
        node = judge(node, Past(True, False, False, deployed), seen, now)
        was = node
        switch = Switch("api/release", in_use, before, now - since)
        node, back, wait = weighed(node, switch, policy, now, seen)
        node, _ = decide(node, {} if back or wait else failing(seen), policy, now)
        if back:
            assert what != "well" and before and in_use not in gone and not was.gone_back
            assert node.ill["api"] - since <= policy.window
            gone.append(in_use)
            node = replace(
                node,
                status=Status.ERROR,
                gone_back="x",
                gone_back_at=now,
                left={"api": [*node.left.get("api", []), in_use]},
            )
            in_use, before, since = before, "", now
    assert len(gone) <= 2


# -- rounds: what hosts say and do is given here, the book is real


class Fleet:
    """Hosts db-1 and h; h has the role api, and comes after db-1. `says`: what becomes of going back."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.plans = {"db-1": Plan("db-1"), "h": Plan("h", after=["db-1"])}
        self.project: Any = SimpleNamespace(state=folder, inventory=SimpleNamespace(hosts=dict.fromkeys(self.plans)))
        self.says, self.asked, self.went = (releases.DONE, "back and running"), list[str](), list[Switch]()
        self.again: HostHealth | None = look(State.OK)
        self.at = 1000.0
        records.end_deploy(folder, self.plans, [])
        deployed = records.read(folder / "deploys.json")
        records.write(folder / "deploys.json", {n: {**told, "ended": 900.0} for n, told in deployed.items()})
        monkeypatch.setattr(releases, "switches", self.switches)
        monkeypatch.setattr(releases, "go_back", self.go_back)

    def switches(self, project: Any, plans: Any, ill: Any) -> dict[str, dict[str, Switch]]:
        self.asked += ill
        return {"h": {"api": replace(B, age=self.at - 910)}} if "h" in ill else {}

    def go_back(self, project: Any, plan: Plan, switch: Switch) -> tuple[int, str]:
        assert "api-b" in Book(self.project.state).get("h").left["api"], "it is written down before"
        self.went.append(switch)
        return self.says

    def round(self, seen: HostHealth, other: HostHealth | None = None, **policy: Any) -> list[dict[str, Any]]:
        self.at += 10
        db = other or HostHealth("db-1", ("redis",), (replace(look().results[0], host="db-1"),))
        rounds = Reconciler(self.project, self.plans, Policy(**{"most": 0, **policy}), lambda _: self.again)
        found = list(rounds.round(Verdict((db, seen), 0.1, self.at), self.at))
        self.shown = with_states(Verdict((db, seen), 0.1, self.at), Book(self.project.state), rounds.again)
        return found[:-1]

    @property
    def node(self) -> Node:
        return Book(self.project.state).get("h")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return Fleet(tmp_path, monkeypatch)


def test_a_round_goes_back_says_so_and_shows_it(fleet: Fleet) -> None:
    assert [t["type"] for t in fleet.round(look(State.OK))] == ["node", "node"] and not fleet.asked, "nothing is ill"
    told = fleet.round(look())
    assert [t["type"] for t in told] == ["node", "back", "node"] and fleet.asked == ["h"]
    assert (told[1]["from"], told[1]["to"], told[1]["code"], told[2]["to"]) == ("api-b", "api-a", 0, "error")
    assert fleet.node.status is Status.ERROR and fleet.node.why == "api went back from api-b to api-a: page: because"
    shown = next(h for h in fleet.shown.hosts if h.name == "h")
    assert shown.results[-1].detail == fleet.node.why and shown.state is State.CRITICAL
    assert [r.state for r in shown.results if r.id == "api/page"] == [State.OK], "as the second look saw it"
    assert fleet.round(look(State.OK)) == [] and fleet.round(look()) == [] and len(fleet.went) == 1
    assert fleet.asked == ["h"], "after that nobody asks any more"


def test_what_is_ill_after_going_back_is_told(fleet: Fleet) -> None:
    fleet.again = look()
    told = [t for t in fleet.round(look()) if t["type"] == "back"]
    assert told[0]["code"] == 1 and "and still page: because" in told[0]["text"] and told[0]["text"] in fleet.node.why


def test_what_could_not_be_done_is_tried_again(fleet: Fleet) -> None:
    fleet.says = (releases.NOT_DONE, "deploy held by somebody")
    told = fleet.round(look())
    assert [t["type"] for t in told][-1] == "back" and told[-1]["code"] == 3
    assert fleet.node.status is Status.DEGRADED and not fleet.node.left
    fleet.says = (releases.ILL, "is back, and does not run either: exit code 4")
    assert [t["code"] for t in fleet.round(look()) if t["type"] == "back"] == [1]
    assert fleet.node.why.endswith("does not run either: exit code 4")


def test_watch_only_says_it_would(fleet: Fleet) -> None:
    told = [t for _ in range(2) for t in fleet.round(look(), act=False, most=3) if t["type"] == "back"]
    assert [t["would"] for t in told] == [True, True] and not fleet.went and not fleet.node.left


def test_another_ones_trouble_is_no_reason(fleet: Fleet) -> None:
    reach = replace(look().results[0], host="db-1")
    ill = Result("db-1", "redis", "redis/ping", "ping", "redis", State.CRITICAL, "no", service="redis")
    for db in (
        HostHealth("db-1", ("redis",), (reach, ill)),
        HostHealth("db-1", ("redis",), (replace(reach, state=State.CRITICAL),)),
    ):
        assert not [t for t in fleet.round(look(), db) if t["type"] == "back"]
    assert [t for t in fleet.round(look()) if t["type"] == "back"]


@pytest.mark.parametrize("what", ["maintenance", "deploying", "failed", "off"])
def test_who_is_not_asked(fleet: Fleet, what: str) -> None:
    if what == "maintenance":
        Book(fleet.project.state).by_hand("h", what)
    elif what == "deploying":
        records.begin_deploy(fleet.project.state, ["h"])
    elif what == "failed":
        records.end_deploy(fleet.project.state, [], ["h"])
    fleet.round(look(), window=0 if what == "off" else 600)
    assert not fleet.asked and not fleet.went


def test_what_no_restart_concerns_is_not_said_to_be_restarted(fleet: Fleet) -> None:
    """A role that keeps nothing running: its node is degraded for as long as the check fails."""
    reach = look().results[0]
    disk = Result("h", "base", "base/disk", "disk", "disk", State.CRITICAL, "97 % used", service="base")
    for _ in range(3):
        told = fleet.round(HostHealth("h", ("base",), (reach, disk)), most=1, cooldown=0)
        assert not [t for t in told if t["type"] == "remedy"]
    assert (fleet.node.status, fleet.node.why) == (Status.DEGRADED, "base/disk: 97 % used") and not fleet.node.tried


# -- what a host may say of its releases


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ({"now": "api-b", "before": "api-a", "age": 4.5}, True),
        ({"now": ""}, True),
        ({"link": "/etc"}, False),
        ({"link": ["/opt/swarmops/api"]}, False),
        ({"before": "a" * 65}, False),
        ({"now": "a\x1b[31m"}, False),
        ({"before": 7}, False),
        ({"age": "5"}, False),
        ({"age": True}, False),
    ],
)
def test_what_does_not_fit_is_dropped(said: dict[str, Any], well: bool) -> None:
    asked = {"mode": "releases", "links": ["/opt/swarmops/api"]}
    assert fits({"e": "release", "link": "/opt/swarmops/api", "now": "api-b", **said}, asked) is well
