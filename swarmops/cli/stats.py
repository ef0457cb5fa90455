"""Show counters and latencies, and what is above its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swarmops.cli._runtime import runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.observe.stats import Snapshot


@click.command()
@click.option("--prometheus", "as_text", is_flag=True, help="Prometheus text, for node_exporter's textfile collector.")
@click.option("--queue", "queues", multiple=True, default=("default",), help="May be repeated. (default)")
@click.option("--statistics", is_flag=True, help="Only the numbers of getStatistics(), with its names.")
@click.option("--alerts", "alerting", is_flag=True, help="Only what is above its limit; ends with 1 or 2 then.")
@click.option("--active-limit", type=int, default=90, show_default=True, help="Active swarms.")
@click.option("--error-limit", type=int, default=100, show_default=True, help="Errors.")
@runtime_options
def command(
    as_text: bool,
    queues: tuple[str, ...],
    statistics: bool,
    alerting: bool,
    active_limit: int,
    error_limit: int,
    rt: Runtime,
    as_json: bool,
) -> int:
    """Numbers of the registry and of task queues, read at once.

    --alerts ends with 0 if all is well, 1 for a warning, 2 if something is critical.
    """
    from swarmops.cli._runtime import print_result

    found = rt.stats.snapshot(queues)
    if alerting:
        return _alerts(found, active_limit, error_limit, rt.settings.swarm_max, as_json)
    if as_text:
        from swarmops.runtime.observe.prometheus import prometheus

        click.echo(prometheus(found), nl=False)
    elif statistics:
        said = found.statistics()
        lines = [f"{k}.{n} {x}" for k, v in said.items() if isinstance(v, dict) for n, x in v.items()]
        text = "\n".join([*lines, f"errors {said['errors']}"])
        print_result({"schema": "swarmops.statistics/1", **said}, as_json, lambda: text)
    else:
        print_result({"schema": "swarmops.stats/1", **found.as_dict()}, as_json, lambda: _text(found))
    return 0


def _alerts(found: Snapshot, active: int, errors: int, most: int, as_json: bool) -> int:
    from swarmops.cli._runtime import print_result
    from swarmops.runtime.observe.stats import alerts

    raised = alerts(found, active=active, errors_over=errors, most=most)
    text = "\n".join(f"{a.level.upper()} {a.name}: {a.sentence}" for a in raised) or "OK"
    print_result({"schema": "swarmops.alerts/1", "alerts": [a.as_dict() for a in raised]}, as_json, lambda: text)
    return 2 if any(a.level == "critical" for a in raised) else int(bool(raised))


def _text(found: Snapshot) -> str:
    from swarmops.cli._runtime import table

    registry = found.registry
    rows = [
        ["agents alive", f"{registry.agents_alive} of {registry.agents}"],
        ["leader", f"term {registry.term}" if registry.leader else "none"],
        *([f"swarms {status}", str(n)] for status, n in registry.swarms.items() if n),
        ["unread messages", f"{registry.unread} in {registry.inboxes} inboxes"],
        *([f"  {address}", str(n)] for address, n in registry.longest.items()),
        *([field, str(n)] for field, n in registry.counters.items()),
    ]
    for queue in found.queues:
        rows += [[f"queue {queue.name}: {k}", str(v)] for k, v in queue.depth.items()]
        rows += [[f"queue {queue.name}: {k}", str(v)] for k, v in queue.counters.items()]
        means = {"mean wait ms": queue.wait_ms, "mean run ms": queue.run_ms}
        rows += [[f"queue {queue.name}: {k}", f"{v:g}"] for k, v in means.items() if v is not None]
    rows += [[f"redis {k}", str(v)] for k, v in found.server.items()]
    rows += [[f"redis script {k} us", f"{v:g}"] for k, v in found.commands.items()]
    rows.append(["round trip ms", f"{found.round_trip_ms:g}"])
    return table(rows, ["what", "value"])
