"""The rooms of a runtime, each imported when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic

from swarmops.runtime.op import Executor, Mode

if TYPE_CHECKING:
    from swarmops.runtime.access import Access
    from swarmops.runtime.breaker import Breakers
    from swarmops.runtime.context.contexts import Contexts
    from swarmops.runtime.context.findings import Findings
    from swarmops.runtime.context.shards import Shards
    from swarmops.runtime.coordinator.conflicts import Conflicts
    from swarmops.runtime.coordinator.distribution import Distribution
    from swarmops.runtime.coordinator.resources import Resources
    from swarmops.runtime.fleet import Fleet
    from swarmops.runtime.messages import Messages
    from swarmops.runtime.observe.events import Events
    from swarmops.runtime.observe.stats import Stats
    from swarmops.runtime.registry.agents import Agents
    from swarmops.runtime.registry.leader import Leader
    from swarmops.runtime.registry.swarms import Swarms
    from swarmops.runtime.state import States
    from swarmops.runtime.tasks import Tasks
    from swarmops.runtime.tasks.workflows import Workflows


class Rooms(Generic[Mode]):
    """What Runtime and AsyncRuntime have in common."""

    def _me(self) -> Executor:
        me: Any = self
        return me

    @cached_property
    def tasks(self) -> Tasks[Mode]:
        from swarmops.runtime.tasks import Tasks

        return Tasks(self._me())

    @cached_property
    def workflows(self) -> Workflows[Mode]:
        from swarmops.runtime.tasks.workflows import Workflows

        return Workflows(self._me())

    @cached_property
    def agents(self) -> Agents[Mode]:
        from swarmops.runtime.registry.agents import Agents

        return Agents(self._me())

    @cached_property
    def swarms(self) -> Swarms[Mode]:
        from swarmops.runtime.registry.swarms import Swarms

        return Swarms(self._me())

    @cached_property
    def leader(self) -> Leader[Mode]:
        from swarmops.runtime.registry.leader import Leader

        return Leader(self._me())

    @cached_property
    def messages(self) -> Messages[Mode]:
        from swarmops.runtime.messages import Messages

        return Messages(self._me())

    @cached_property
    def events(self) -> Events[Mode]:
        from swarmops.runtime.observe.events import Events

        return Events(self._me())

    @cached_property
    def stats(self) -> Stats[Mode]:
        from swarmops.runtime.observe.stats import Stats

        return Stats(self._me())

    @cached_property
    def state(self) -> States[Mode]:
        from swarmops.runtime.state import States

        return States(self._me())

    @cached_property
    def breakers(self) -> Breakers[Mode]:
        from swarmops.runtime.breaker import Breakers

        return Breakers(self._me())

    @cached_property
    def contexts(self) -> Contexts[Mode]:
        from swarmops.runtime.context.contexts import Contexts

        return Contexts(self._me())

    @cached_property
    def shards(self) -> Shards[Mode]:
        from swarmops.runtime.context.shards import Shards

        return Shards(self._me())

    @cached_property
    def findings(self) -> Findings[Mode]:
        from swarmops.runtime.context.findings import Findings

        return Findings(self._me())

    @cached_property
    def distribution(self) -> Distribution[Mode]:
        from swarmops.runtime.coordinator.distribution import Distribution

        return Distribution(self._me())

    @cached_property
    def resources(self) -> Resources[Mode]:
        from swarmops.runtime.coordinator.resources import Resources

        return Resources(self._me())

    @cached_property
    def conflicts(self) -> Conflicts[Mode]:
        from swarmops.runtime.coordinator.conflicts import Conflicts

        return Conflicts(self._me())

    @cached_property
    def access(self) -> Access[Mode]:
        from swarmops.runtime.access import Access

        return Access(self._me())

    @cached_property
    def fleet(self) -> Fleet[Mode]:
        from swarmops.runtime.fleet import Fleet

        return Fleet(self._me())
