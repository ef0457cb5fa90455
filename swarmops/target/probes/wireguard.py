"""Does the tunnel carry packets? An active unit proves nothing: systemd says so of dead tunnels too (F17).

`peers` maps names to mesh addresses; each is sent an echo through the interface, all at once, which also
makes an idle peer shake hands; then the handshakes' ages are read. A peer that answers is well. One that does
not is critical when its last handshake is older than 300 s (or never was), a warning before that. With `echo:
false`, or for peers without a name here, only handshakes are read, and only of peers with a keepalive: others
may be silent and well. Value: age in seconds of the oldest handshake that was judged.
"""

import time

from swarmops.target.probes import _icmp
from swarmops.target.probes._net import Unknown

ARGS = {"interface": "name = wg0", "peers": "map", "echo": "bool = true"}
SHORT = "interface"
WARN, CRITICAL = 180, 300  # seconds: WireGuard itself drops a session after 180


def probe(args, system, deadline):
    interface = args.get("interface") or "wg0"
    wanted = {a: n for n, a in (args.get("peers") or {}).items()}
    answers = None
    if wanted and args.get("echo") is not False:
        # One who is gone must not eat the whole deadline: leave time to read the handshakes.
        until = time.monotonic() + 0.7 * (deadline - time.monotonic())
        try:
            answers = _icmp.echo(wanted, until, interface)
        except OSError:
            answers = {}  # no such interface: `wg show` says so in its own words
    fault, peers = _dump(interface, wanted, system, deadline)
    if fault:
        return {"ok": False, "detail": fault}
    return judge(peers, wanted, answers, time.time())


def _dump(interface, wanted, system, deadline):
    """(fault, peers) where a peer is {address, keepalive, at: time of its last handshake or 0}.

    A hub has many addresses behind it: its own is the one that is wanted, else the first.
    """
    try:
        rc, out, err = system.run(["wg", "show", interface, "dump"], deadline)
    except FileNotFoundError:
        raise Unknown("wg is not installed")
    if rc:
        return "the tunnel %s is down: %s" % (interface, err.strip() or "wg show failed"), []
    peers = []
    for row in out.splitlines()[1:]:
        f = row.split("\t")
        if len(f) >= 8:
            addresses = [a.split("/")[0] for a in f[3].split(",")]
            address = next((a for a in addresses if a in wanted), addresses[0])
            keep = int(f[7]) if f[7].isdigit() else 0
            peers.append({"address": address, "keepalive": keep, "at": int(f[4])})
    return None, peers


def judge(peers, wanted, answers, now):
    """The finding. `wanted` address -> name; `answers` address -> ms, or None when no echo was sent."""
    known = {p["address"] for p in peers}
    bad: list = []
    slow: list = []
    silent: list = []
    ages: list = []
    for address, name in sorted(wanted.items(), key=lambda item: item[1]):
        if address not in known:
            bad.append("%s (%s) is no peer of this interface" % (name, address))
    for peer in peers:
        name, age = wanted.get(peer["address"], peer["address"]), now - peer["at"] if peer["at"] else None
        asked = answers is not None and peer["address"] in wanted
        if asked and peer["address"] in answers:
            ages.append(max(0, age or 0))
        elif asked or peer["keepalive"]:
            ages += [age] if age is not None else []
            silent += [name] if asked else []
            _complain(name, age, asked, bad, slow)
    found = {"unit": "s", "value": round(max(ages), 1) if ages else None}
    if answers:
        found["echo_ms"] = round(max(answers.values()), 3)
    if silent and len(silent) == len(bad) + len(slow):  # nothing else is wrong: it may be their trouble, not ours
        found["silent"] = silent
    if bad:
        return dict(found, ok=False, detail="; ".join(bad + slow))
    if slow:
        return dict(found, ok=True, warn=True, detail="; ".join(slow))
    return dict(found, ok=True, detail=_fine(peers, answers, ages))


def _complain(name, age, asked, bad, slow):
    said = "last handshake %.0f s ago" % age if age is not None else "no handshake yet"
    if asked:
        said = "%s does not answer through the tunnel, %s" % (name, said)
        (bad if age is None or age > CRITICAL else slow).append(said)
    elif age is None or age > CRITICAL:
        bad.append("%s: %s" % (name, said))
    elif age > WARN:
        slow.append("%s: %s" % (name, said))


def _fine(peers, answers, ages):
    if answers:
        slowest = max(answers.values())
        return "%d peers answer through the tunnel, slowest in %.3g ms" % (len(answers), slowest)
    if ages:
        return "%d peers, oldest handshake %.0f s ago" % (len(peers), max(ages))
    return "up with %d peers, none that must be heard from" % len(peers)
