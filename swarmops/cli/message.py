"""Send, read and answer messages between agents and swarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.messages.envelope import Envelope

_from = click.option("--from", "sender", metavar="ADDRESS", default="", help="Who sends, as in agent.npu-1.")
_payload = click.argument("payload", default="{}", metavar="[JSON]")


@click.group()
def command() -> None:
    """Messages. An ADDRESS is agent.ID or swarm.ID; a CHANNEL is a name, as global, tasks, coordination, agents."""


@command.command()
@click.argument("address")
@click.argument("type_", metavar="TYPE")
@_payload
@_from
@click.option("--id", "id_", default="", help="The message's id: sending it twice is sending it once.")
@click.option("--ttl", type=float, default=0, metavar="SECONDS", help="Nobody wants it after that.")
@runtime_options
def send(address: str, type_: str, payload: str, sender: str, id_: str, ttl: float, rt: Runtime, as_json: bool) -> None:
    """Put a message into the inbox of ADDRESS.

    It stays there until it is acknowledged. The JSON "-" reads stdin.

    \b
    swarmops message send agent.npu-1 announcement '{"text": "hello"}' --from agent.me
    """
    from swarmops.cli._runtime import print_result

    sent = rt.messages.send(address, type_, _json(payload), sender=sender, id=id_, ttl=ttl)
    print_result(
        {"schema": "swarmops.message.sent/1", **sent.as_dict()},
        as_json,
        lambda: (
            f"{sent.id} {'waits' if sent.new else 'was sent before; it waits or was read'}: "
            f"{sent.waiting} unread in {sent.to}"
        ),
    )


@command.command()
@click.argument("type_", metavar="TYPE")
@_payload
@_from
@click.option("--channel", default="global", show_default=True, help="Whose members get it.")
@click.option("--id", "id_", default="", help="The message's id: sending it twice is sending it once.")
@runtime_options
def broadcast(type_: str, payload: str, sender: str, channel: str, id_: str, rt: Runtime, as_json: bool) -> None:
    """Send a message to all members of a channel but the sender."""
    from swarmops.cli._runtime import print_result

    sent = rt.messages.broadcast(type_, _json(payload), channel=channel, sender=sender, id=id_)
    print_result(
        {"schema": "swarmops.message.sent/1", **sent.as_dict()},
        as_json,
        lambda: f"{sent.id} is in {sent.to}, which has {sent.members} members",
    )


@command.command()
@click.argument("address")
@click.option("--count", type=int, default=64, show_default=True, help="At most so many.")
@click.option("--visible", type=float, default=60.0, show_default=True, help="Seconds to acknowledge them in.")
@click.option("--peek", is_flag=True, help="Only look: whoever reads next gets them too.")
@click.option("--ack", "ack_", is_flag=True, help="Acknowledge what was printed.")
@runtime_options
def read(address: str, count: int, visible: float, peek: bool, ack_: bool, rt: Runtime, as_json: bool) -> None:
    """Take messages out of an inbox.

    Those that are not acknowledged in time come again.
    """
    room = rt.messages
    found = room.peek(address, count) if peek else room.take(address, count, visible=visible)
    _print("swarmops.messages/1", found, as_json)
    if ack_ and found:
        room.ack(address, *(e.mark for e in found))


@command.command()
@click.argument("address")
@click.argument("marks", nargs=-1, required=True, metavar="MARK...")
@runtime_options
def ack(address: str, marks: tuple[str, ...], rt: Runtime, as_json: bool) -> None:
    """Handled: forget these messages of an inbox.

    A MARK is what `read` prints before the type, as 1764000000000-0.
    """
    from swarmops.cli._runtime import print_result

    gone = rt.messages.ack(address, *marks)
    print_result({"schema": "swarmops.message.acked/1", "acked": gone}, as_json, lambda: f"{gone} acknowledged")


@command.command()
@click.argument("channel", default="global")
@click.option("--limit", type=int, default=20, show_default=True, help="At most so many.")
@runtime_options
def history(channel: str, limit: int, rt: Runtime, as_json: bool) -> None:
    """The newest messages of a channel first.

    At most 1,000, none older than an hour. The channel `dead` holds messages that were delivered five times and never
    acknowledged.
    """
    _print("swarmops.messages/1", rt.messages.history(channel, limit), as_json)


@command.command()
@click.argument("address")
@_payload
@_from
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds.")
@runtime_options
def request(address: str, payload: str, sender: str, timeout: float, rt: Runtime, as_json: bool) -> None:
    """Ask ADDRESS something and print its answer.

    Ends with 1 if there is none in time.
    """
    import json

    from swarmops.cli._runtime import print_result
    from swarmops.runtime.messages.requests import request as ask

    answer = ask(rt, address, _json(payload), timeout=timeout, sender=sender)
    print_result({"schema": "swarmops.answer/1", "answer": answer}, as_json, lambda: json.dumps(answer))


@command.command()
@click.argument("request_id", metavar="ID")
@_payload
@click.option("--from", "sender", metavar="ADDRESS", required=True, help="Who was asked, and answers.")
@click.option("--error", default="", metavar="TEXT", help="Why there is no answer.")
@runtime_options
def reply(request_id: str, payload: str, sender: str, error: str, rt: Runtime, as_json: bool) -> None:
    """Answer the request ID, which `read` or `listen` printed."""
    from swarmops.cli._runtime import print_result

    rt.messages.reply(request_id, _json(payload), error=error, sender=sender)
    print_result({"schema": "swarmops.message.replied/1", "request": request_id}, as_json, lambda: "answered")


@command.command()
@click.argument("address")
@click.option("--channel", "channels", multiple=True, default=("global",), help="May be repeated. (global)")
@click.option("--count", type=int, default=0, help="End after so many messages.")
@click.option("--for", "seconds", type=float, default=0, metavar="SECONDS", help="End after so long.")
@runtime_options
def listen(address: str, channels: tuple[str, ...], count: int, seconds: float, rt: Runtime, as_json: bool) -> int:
    """Print what arrives for ADDRESS, and acknowledge it.

    A line each, with --json a JSON line each. Ends with 0 after --count messages, with 1 if --for was over before.
    """
    return _listen(rt, address, channels, count, seconds, as_json)


def _listen(rt: Runtime, address: str, channels: tuple[str, ...], count: int, seconds: float, as_json: bool) -> int:
    import threading

    from swarmops.cli._output import emit_json
    from swarmops.runtime.messages.inbox import Inbox

    over, seen = threading.Event(), [0]

    def show(_: Any, envelope: Envelope) -> None:
        if as_json:
            emit_json({"schema": "swarmops.message/1", **envelope.to_json()}, line=True)
        else:
            _echo(envelope)
        seen[0] += 1
        if seen[0] == count:
            inbox.stop()
            over.set()

    inbox = Inbox(rt, address, channels)
    inbox.on("*", show)
    with inbox:
        over.wait(seconds or None)
    return 1 if count and seen[0] < count else 0


def _json(text: str) -> Any:
    import sys

    from swarmops.runtime.wire import LIMIT, loads

    return loads(sys.stdin.buffer.read(LIMIT + 2) if text == "-" else text, "payload", LIMIT)


def _print(schema: str, found: list[Envelope], as_json: bool) -> None:
    from swarmops.cli._runtime import print_result

    if as_json:
        print_result({"schema": schema, "messages": [e.to_json() for e in found]}, True, str)
    for envelope in [] if as_json else found:
        _echo(envelope)


def _echo(envelope: Envelope) -> None:
    import json
    from datetime import UTC, datetime

    from swarmops.cli._output import echo, one_line

    at = datetime.fromtimestamp(envelope.timestamp / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    tries = f" (delivery {envelope.retry_count + 1})" if envelope.retry_count else ""
    asks = f" asks {envelope.id}" if envelope.asks else ""
    head = f"{at}  {envelope.mark}  {envelope.type}  {envelope.sender} -> {envelope.to}{asks}{tries}"
    echo(one_line(f"{head}  {json.dumps(envelope.payload, ensure_ascii=False)}"))
