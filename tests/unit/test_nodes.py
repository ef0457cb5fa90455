"""The state of a node from look to look, and what reconcile does about it: pure functions and records on disk."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from swarmops.delivery import records
from swarmops.health.verdict import HostHealth, Result, State
from swarmops.operate.nodes import Book, Node, Past, Status, judge
from swarmops.operate.reconcile import decide, failing
from swarmops.operate.status import state_of
from swarmops.operate.window import Policy

DONE = Past(deployed=True, deploying=False, failed=False)


def look(reach: State = State.OK, web: State = State.OK) -> HostHealth:
    def result(role: str, name: str, state: State) -> Result:
        return Result(
            "h", role, f"{role}/{name}" if role else name, name, "x", state, "because",
            quiet=bool(role and reach), service=role,
        )  # fmt: skip

    return HostHealth("h", ("web",), (result("", "reach", reach), result("web", "page", web)))


def after(node: Node, *looks: HostHealth | None, patient: bool = True) -> list[Status]:
    found = []
    for n, one in enumerate(looks):
        node = judge(node, DONE, one, float(n), patient)
        found.append(node.status)
    return found


def test_states_before_and_after_a_deploy() -> None:
    for past, want in [
        (Past(False, False, False), Status.PENDING),
        (Past(False, True, False), Status.ENROLLING),
        (Past(True, True, False), Status.ONLINE),
        (Past(True, False, True), Status.ERROR),
    ]:
        assert judge(Node(), past, look(), 0.0).status is want


def test_three_misses_make_a_node_offline_and_one_answer_brings_it_back() -> None:
    gone = look(State.CRITICAL)
    assert after(Node(), look(), gone, gone, gone, look()) == ["online", "online", "online", "offline", "online"]
    assert after(Node(), look(), gone, patient=False) == ["online", "offline"]


def test_a_slow_node_is_degraded_not_offline() -> None:
    slow = look(State.UNKNOWN)
    assert after(Node(), look(), slow, slow, slow)[-1] is Status.DEGRADED
    assert after(Node(), look(web=State.WARNING), look(web=State.CRITICAL)) == ["degraded", "degraded"]


def test_a_service_is_as_its_own_checks_say() -> None:
    """S4-39: degraded is not well, and what nobody looked at is unknown."""
    said = [state_of("web", look(web=state)) for state in State]
    assert said == ["well", "degraded", "down", "unknown"]
    assert [state_of("web", look(reach=state)) for state in State] == ["well", "degraded", "down", "unknown"]
    assert state_of("web", None) == state_of("other", look()) == "unknown"


def test_what_was_set_by_hand_stays_until_it_is_taken_away(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.by_hand("h", "maintenance", "new disk")
    node = Book(tmp_path).get("h")
    for one in (look(), look(State.CRITICAL), None):
        node = judge(node, DONE, one, 5.0)
        assert (node.status, node.why) == (Status.MAINTENANCE, "new disk")
        assert decide(node, {"web": one.results[1]} if one else {}, Policy(), 5.0)[1] == []
    assert judge(book.by_hand("h", ""), DONE, look(), 6.0).status is Status.ONLINE


def test_only_a_roles_own_trouble_on_a_node_that_answers_is_for_a_restart() -> None:
    assert list(failing(look(web=State.CRITICAL))) == ["web"]
    assert failing(look(State.CRITICAL, State.CRITICAL)) == {}
    assert failing(look(web=State.WARNING)) == {}


@given(st.lists(st.tuples(st.booleans(), st.floats(1, 200)), max_size=60))
def test_restarts_keep_to_their_number_and_their_pause(rounds: list[tuple[bool, float]]) -> None:
    policy = Policy(most=3, cooldown=100)
    node, now, tries, ill_at = Node(status=Status.ONLINE), 0.0, list[float](), 0.0
    for bad, pause in rounds:
        now += pause
        ill = failing(look(web=State.CRITICAL)) if bad else {}
        node, due = decide(node, ill, policy, now)
        ill_at = now if bad else ill_at
        if not bad and tries and now - ill_at >= policy.cooldown:
            tries = []
        if due:
            assert bad and due == ["web"]
            assert not tries or now - tries[-1] >= policy.cooldown
            tries.append(now)
        assert len(tries) <= policy.most
    assert node.tried.get("web", []) == tries


def test_a_service_that_no_restart_mends_is_an_error() -> None:
    policy, node = Policy(cooldown=0), Node(status=Status.DEGRADED)
    ill = failing(look(web=State.CRITICAL))
    dues = []
    for n in range(5):
        node, due = decide(judge(node, DONE, look(web=State.CRITICAL), n), ill, policy, float(n))
        dues.append(due)
    assert dues == [["web"]] * 3 + [[], []]
    assert node.status is Status.ERROR and "restarted web 3 times, and still page: because" in node.why
    assert judge(node, DONE, look(), 9.0).status is Status.ONLINE


def test_records_of_deploys(tmp_path: Path) -> None:
    records.begin_deploy(tmp_path, ["a", "b", "c"])
    assert records.deploying(tmp_path) == ["a", "b", "c"] and records.deployed(tmp_path) == {}
    records.end_deploy(tmp_path, ["a"], ["b"])
    assert records.deploying(tmp_path) == [] and set(records.deployed(tmp_path)) == {"a", "b"}
    # A deploy that was killed is at work no more.
    records.write(tmp_path / "deploys.json", {"d": {"by": 2**22 + os.getpid()}, "e": "nonsense"})
    assert records.deploying(tmp_path) == [] and records.deployed(tmp_path) == {}


def test_a_book_that_was_spoilt_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text("""{"a": {"status": "no such"}, "b": 3, "c": {"status": "error", "tried": 7},
        "d": {"status": "error", "since": "x"}, "e": {"status": "error"}}""")
    assert list(Book(tmp_path).nodes) == ["e"]
    (tmp_path / "nodes.json").write_text("{")
    assert Book(tmp_path).nodes == {}


def test_what_is_set_by_hand_while_reconcile_is_at_work_stays(tmp_path: Path) -> None:
    Book(tmp_path).by_hand("a", "")
    book = Book(tmp_path)
    Book(tmp_path).by_hand("a", "maintenance", "new disk")
    book.put("a", Node(Status.ONLINE))
    book.put("b", Node(Status.ONLINE))
    book.save()
    assert book.get("a").hand == "maintenance" and Book(tmp_path).get("a").why == "new disk"
    assert Book(tmp_path).get("b").status is Status.ONLINE
    Book(tmp_path).by_hand("a", "")
    book.save()
    assert Book(tmp_path).get("a").hand == ""


def test_a_node_in_error_keeps_its_reason_over_a_miss() -> None:
    node = judge(Node(Status.ERROR, "restarts did not help", 1.0), DONE, look(State.CRITICAL), 2.0)
    assert (node.status, node.why) == (Status.ERROR, "restarts did not help")
    assert after(node, look(State.CRITICAL), look(State.CRITICAL)) == ["error", "offline"]
