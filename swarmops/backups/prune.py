"""Retention (S4-29): which sets may go. A set goes only when each host that is good in it is good in a newer
set that stays, and that newer set was just verified, byte by byte. So the last good backup of a host never
goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from swarmops.backups import manifest, sets
from swarmops.backups.sets import Set
from swarmops.backups.verify import verify


@dataclass(frozen=True)
class Policy:
    """What stays. Zero is a rule that keeps nothing, None is no rule; without any rule everything stays."""

    last: int | None = None  # this many newest sets
    days: int | None = None  # every set younger than this
    daily: int | None = None  # the newest set of each of this many days that have one
    weekly: int | None = None
    monthly: int | None = None

    def __bool__(self) -> bool:
        return any(rule is not None for rule in (self.last, self.days, self.daily, self.weekly, self.monthly))


@dataclass
class Decision:
    """What becomes of one set, and why."""

    set: Set
    keep: bool
    reasons: list[str] = field(default_factory=list)


PERIODS = {"daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m"}


def decide(found: Iterable[Set], policy: Policy, now: datetime) -> list[Decision]:
    """Decisions on the whole sets of one tier, newest first. Damaged sets stay and are named: a person must
    look."""
    newest = sorted(found, key=lambda s: (s.time, len(s.path.name), s.path.name), reverse=True)
    decisions = [Decision(s, keep=not policy, reasons=[] if policy else ["no rule given"]) for s in newest]
    whole = [d for d in decisions if d.set.manifest and manifest.good_hosts(d.set.manifest)]
    for d in decisions:
        if d.set.manifest is None:
            d.keep = True
            d.reasons.append(d.set.problem)
    for d in whole[: policy.last or 0]:
        _keep(d, f"one of the last {policy.last}")
    for d in decisions:
        if policy.days and d.set.time > now - timedelta(days=policy.days):
            _keep(d, f"younger than {policy.days} days")
    for name, format_ in PERIODS.items():
        _periods(whole, name, format_, getattr(policy, name) or 0)
    _guard(decisions)
    return decisions


def _keep(decision: Decision, reason: str) -> None:
    decision.keep = True
    decision.reasons.append(reason)


def _periods(whole: list[Decision], name: str, format_: str, count: int) -> None:
    seen: set[str] = set()
    for d in whole:
        period = d.set.time.strftime(format_)
        if period not in seen and len(seen) < count:
            seen.add(period)
            _keep(d, f"{name} {period}")


def _guard(decisions: list[Decision]) -> None:
    """Keep what holds the newest good backup of any host. Checksums are read of those only, newest first,
    until one proves good: a damaged copy protects nothing and is protected by nothing."""
    covered: set[str] = set()
    for d in decisions:
        if d.set.manifest is None:
            continue
        new = manifest.good_hosts(d.set.manifest) - covered
        if not new:
            continue
        report = verify(d.set, hosts=new, checksums_only=True)
        bad = {f.host for f in report.bad}
        good = set() if "" in bad else new - bad
        if bad:
            _keep(d, "damaged: " + report.bad[0].detail)
        if good:
            covered |= good
            _keep(d, f"last good backup of {', '.join(sorted(good))}")


def prune(found: Iterable[Set], policy: Policy, now: datetime, *, dry_run: bool = False) -> list[Decision]:
    """Decide for each tier, and remove. Raises `BackupError` when a set cannot be removed."""
    by_tier: dict[str, list[Set]] = {}
    for one in found:
        by_tier.setdefault(one.path.parent.name, []).append(one)
    decisions = [d for tier in sorted(by_tier) for d in decide(by_tier[tier], policy, now)]
    for d in decisions:
        if not d.keep and not dry_run:
            sets.remove(d.set.path)
    return decisions
