"""Who gets it when two swarms want the same (S3-34 to S3-37)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Conflict, Exists, Forbidden, Illegal, Invalid, Late, NotFound, Stale


def active(rt: Runtime, id: str, priority: str = "normal", **more: Any) -> str:
    rt.swarms.create("to work", id=id, metadata={"priority": priority}, **more)
    rt.swarms.status(id, "active")
    return id


def created(rt: Runtime, id: str, ms: str) -> None:
    """Make it as old as the test needs it."""
    from swarmops.runtime.op import Op

    key = rt.keys.registry("swarm", id)
    if ms:
        rt.run(Op("", (key,), ("HSET", key, "created", ms)))
    else:
        rt.run(Op("", (key,), ("HDEL", key, "created")))


@pytest.mark.parametrize(
    ("a", "b", "winner"),
    [("high", "normal", "a"), ("normal", "low", "a"), ("low", "high", "b"), ("normal", "normal", "b")],
)
def test_high_wins_over_normal_over_low_and_a_tie_goes_to_the_earlier(rt: Runtime, a: str, b: str, winner: str) -> None:
    active(rt, "b", b)
    active(rt, "a", a)
    created(rt, "a", "2000000000000")
    found = rt.conflicts.resolve("resource", "a", "b")
    assert (found.winner, found.strategy, found.status) == (winner, "priority", "decided")
    assert ("priority" in found.reason) and (found.loser != winner)


def test_an_unknown_priority_is_normal(rt: Runtime) -> None:
    from swarmops.runtime.op import Op

    active(rt, "odd", "high")
    active(rt, "low", "low")
    key = rt.keys.registry("swarm", "odd")
    rt.run(Op("", (key,), ("HSET", key, "d", '{"metadata":{"priority":"urgent!"}}')))
    assert rt.conflicts.resolve("r", "low", "odd").reason == "priority normal over low"


@pytest.mark.parametrize(("a", "b", "winner"), [("1000", "2000", "a"), ("2000", "1000", "b"), ("7", "7", "a")])
def test_the_earlier_wins_by_timestamp_then_the_smaller_id(rt: Runtime, a: str, b: str, winner: str) -> None:
    for id, at in (("a", a), ("b", b)):
        active(rt, id)
        created(rt, id, at)
    for pair in (("a", "b"), ("b", "a")):
        assert rt.conflicts.resolve("r", *pair, "timestamp").winner == winner


def test_one_whose_time_is_not_known_came_later(rt: Runtime) -> None:
    active(rt, "a")
    active(rt, "b")
    created(rt, "a", "")
    assert rt.conflicts.resolve("r", "a", "b", "timestamp").winner == "b"
    assert rt.conflicts.resolve("r", "ghost", "a", "timestamp").winner == "a"
    with pytest.raises(NotFound, match="neither a swarm ghost nor phantom"):
        rt.conflicts.resolve("r", "ghost", "phantom")


def test_a_decision_is_recorded_and_both_are_told(rt: Runtime) -> None:
    active(rt, "a", "high")
    active(rt, "b")
    first = rt.conflicts.resolve("disk", "a", "b", id="c1")
    assert rt.conflicts.resolve("disk", "a", "b", id="c1") == first == rt.conflicts.get("c1")
    with pytest.raises(Exists):
        rt.conflicts.resolve("disk", "b", "a", id="c1")
    for swarm in "ab":
        [told] = rt.messages.take(f"swarm.{swarm}")
        assert told.type == "conflict.resolved" and told.sender == "coordinator"
        assert told.payload["winner"] == "a" and told.payload["reason"] == "priority high over normal"
    assert [c.id for c in rt.conflicts.list()] == ["c1"]
    assert rt.stats.counters()["conflicts_resolved"] == 1


def test_a_vote_is_decided_when_nothing_can_change_it(rt: Runtime) -> None:
    for id in ("a", "b", "c", "d", "e"):
        active(rt, id)
    vote = rt.conflicts.resolve("r", "a", "b", "vote")
    assert (vote.status, vote.quorum, vote.electorate) == ("open", 3, ("a", "b", "c", "d", "e"))
    [asked] = rt.messages.take("swarm.e")
    assert asked.type == "conflict_vote_request" and asked.payload["options"] == ["a", "b"]
    assert rt.conflicts.vote(vote.id, "c", "b").votes == (0, 1)
    assert rt.conflicts.vote(vote.id, "c", "b").votes == (0, 1), "the same vote again counts once"
    with pytest.raises(Conflict, match="c has voted for b"):
        rt.conflicts.vote(vote.id, "c", "a")
    with pytest.raises(Forbidden, match="f has no vote"):
        rt.conflicts.vote(vote.id, "f", "a")
    with pytest.raises(Illegal, match="between a and b, not c"):
        rt.conflicts.vote(vote.id, "d", "c")
    assert rt.conflicts.vote(vote.id, "b", "b").status == "open", "two for b, but three might come for a"
    done = rt.conflicts.vote(vote.id, "d", "b")
    assert (done.status, done.winner, done.loser, done.reason) == ("decided", "b", "a", "0 to 3 votes")
    with pytest.raises(Late):
        rt.conflicts.vote(vote.id, "e", "a")


def test_a_lead_that_is_safe_waits_for_the_quorum(rt: Runtime) -> None:
    for id in ("a", "b", "c"):
        active(rt, id)
    vote = rt.conflicts.resolve("r", "a", "b", "vote", quorum=3)
    rt.conflicts.vote(vote.id, "a", "b")
    assert rt.conflicts.vote(vote.id, "b", "b").status == "open"
    assert rt.conflicts.vote(vote.id, "c", "a").reason == "1 to 2 votes"


def test_all_votes_that_tie_are_decided_by_priority(rt: Runtime) -> None:
    active(rt, "a", "low")
    active(rt, "b", "high")
    vote = rt.conflicts.resolve("r", "a", "b", "vote")
    rt.conflicts.vote(vote.id, "a", "a")
    found = rt.conflicts.vote(vote.id, "b", "b")
    assert (found.winner, found.reason) == ("b", "a tie, 1 to 1; priority high over low")


@pytest.mark.parametrize(("votes", "winner", "reason"), [(2, "b", "0 to 2 votes"), (1, "a", "no quorum: 1 of 2 votes")])
def test_at_the_deadline_the_leader_decides_by_what_came(rt: Runtime, votes: int, winner: str, reason: str) -> None:
    active(rt, "a", "high")
    for id in ("b", "c", "d", "e"):
        active(rt, id)
    vote = rt.conflicts.resolve("r", "a", "b", "vote", deadline=3, quorum=2)
    for voter in ("c", "d")[:votes]:
        rt.conflicts.vote(vote.id, voter, "b")
    term = rt.leader.campaign("boss").term
    assert rt.conflicts.close(term) == [] and rt.conflicts.list()[0].status == "open"
    threading.Event().wait(3.05)
    with pytest.raises(Late):
        rt.conflicts.vote(vote.id, "e", "a")
    with pytest.raises(Stale):
        rt.conflicts.close(term - 1)
    [found] = rt.conflicts.close(term)
    assert found.winner == winner and found.reason.startswith(reason)
    assert rt.conflicts.close(term) == [] and rt.conflicts.get(vote.id) == found


def test_without_a_leader_looking_at_a_vote_ends_it_too(rt: Runtime) -> None:
    active(rt, "a")
    active(rt, "b")
    vote = rt.conflicts.resolve("r", "a", "b", "vote", deadline=0.05, electorate=["a"])
    threading.Event().wait(0.1)
    found = rt.conflicts.get(vote.id)
    assert (found.status, found.winner) == ("decided", "a") and "no quorum: 0 of 1" in found.reason


def test_bad_conflicts_are_refused(rt: Runtime) -> None:
    active(rt, "a")
    rt.swarms.create("not yet active", id="b")
    with pytest.raises(Invalid, match=r"strategy: 'coin' is none of priority, timestamp, vote"):
        rt.conflicts.resolve("r", "a", "b", "coin")
    with pytest.raises(Invalid, match="no conflict with itself"):
        rt.conflicts.resolve("r", "a", "a")
    with pytest.raises(Invalid, match="swarm_a"):
        rt.conflicts.resolve("r", "A:*", "b")
    with pytest.raises(Illegal, match="a quorum of 2 of 1 swarms cannot be reached"):
        rt.conflicts.resolve("r", "a", "b", "vote", quorum=2)
    rt.swarms.status("a", "interrupted")
    with pytest.raises(Illegal, match="nobody can vote"):
        rt.conflicts.resolve("r", "a", "b", "vote")
    with pytest.raises(NotFound):
        rt.conflicts.vote("none", "a", "a")
    assert rt.conflicts.list() == []
