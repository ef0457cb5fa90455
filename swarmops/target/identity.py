"""Whether this host is the one that is meant, and whether it is ours (cases 64 and 66)."""

import json
import os


def stranger(envelope, system):
    """Why this host must not be touched, or None. Says who this host is by an event."""
    machine = system.facts["machine_id"]
    system.emit(dict(_hardware(system), e="hello", machine=machine, **_python(system)), now=False)
    if envelope.get("adopt"):
        return None
    recorded = envelope.get("machine")
    if recorded and recorded != machine:
        return "another machine answers here: its machine-id is %s, recorded is %s" % (
            machine[:8] or "empty",
            recorded[:8],
        )
    owner = _owner(system)
    if owner and envelope.get("owner") and owner != envelope["owner"]:
        return "this host is deployed from '%s', not from '%s'" % (owner, envelope["owner"])
    return None


def _python(system):
    """What the controller must know to choose wheels for this host."""
    return {k: system.facts[k] for k in ("python", "arch", "libc")}


def _hardware(system):
    """What the controller compares with the declared hardware."""
    return {
        "cores": system.facts["cores"],
        "memory_mb": system.facts["memory_mb"],
        "gpu": any(n.startswith("renderD") for n in _names("/dev/dri")) or os.path.exists("/dev/nvidia0"),
        "npu": any(n.startswith("accel") for n in _names("/dev/accel")),
    }


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def is_ours(envelope, system):
    """Whether the host says already whose deployment it is."""
    return not envelope.get("owner") or _owner(system) == envelope["owner"]


def claim(envelope, system):
    """Leave on the host whose deployment it is."""
    if not is_ours(envelope, system):
        from swarmops.target.generations import land

        os.makedirs(system.state, mode=0o700, exist_ok=True)
        path = os.path.join(system.state, "owner.json")
        land(path, lambda f: f.write(json.dumps({"owner": envelope["owner"]}).encode()))


def _owner(system):
    try:
        with open(os.path.join(system.state, "owner.json")) as f:
            return json.load(f)["owner"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
