"""Puts a leash on itself and becomes the command: `python -I -S leash.py SPEC PROGRAM [ARG...]`, SPEC being JSON.

    {"write": [folders], "read": [folders], "limits": {"AS": bytes, "NPROC": n, ...}, "confine": true,
     "parent": pid, "folder": where to work, "user": [uid, gid] or null, "ports": [numbers] or null}

Landlock (Linux) keeps what follows, and all its children, from writing elsewhere than below `write` and from reading
elsewhere than below `read`; from Linux 6.12 on also from sending signals to others. With `ports` (Linux 6.7) they open
TCP connections to these alone and listen on none. It needs no privileges and cannot be taken off. The standard library
only, and nothing of ours, so that it starts in some milliseconds; what goes wrong is one line on stderr and exit code
126 (127: no such program), as of a shell.
"""

# ruff: noqa: PTH112, PTH118, S606
import ctypes
import json
import os
import resource
import signal
import sys

CREATE, ADD, RESTRICT = 444, 445, 446  # landlock_create_ruleset, _add_rule, _restrict_self: the same on all machines
NO_NEW_PRIVS, PDEATHSIG, CAPBSET_DROP = 38, 1, 24  # of prctl
READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read files, read folders
ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # what a rule for a single file may say: execute, write, read, truncate
LEAST = 3  # version of Landlock: older ones let files of others be truncated
FOR_PORTS = 4  # the one that knows TCP
BIND_AND_CONNECT, CONNECT, PATHS, NET_PORT = 1 << 0 | 1 << 1, 1 << 1, 1, 2
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


def version() -> int:
    """Of Landlock in this kernel; 0 where there is none."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return max(0, libc.syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    except (OSError, AttributeError):
        return 0


def confine(write: "list[str]", read: "list[str]", ports: "list[int] | None" = None) -> None:
    """From now on only these may be written, read and connected to. Raises OSError."""
    libc, have = ctypes.CDLL(None, use_errno=True), version()
    if have < LEAST:
        raise OSError(f"this kernel has no Landlock of version {LEAST} or newer (it has {have})")
    handled = (1 << (16 if have >= 5 else 15)) - 1
    scoped = 2 if have >= 6 else 0  # signals
    if ports is not None and have < FOR_PORTS:
        raise OSError(f"this kernel's Landlock keeps nobody from the network (it is {have}, that takes {FOR_PORTS})")
    attr = (ctypes.c_uint64 * 3)(handled, 0 if ports is None else BIND_AND_CONNECT, scoped)
    rules = libc.syscall(
        CREATE, ctypes.byref(attr), ctypes.c_size_t(24 if have >= 6 else 16 if have >= 4 else 8), ctypes.c_uint32(0)
    )
    if rules < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for path in read:
        _allow(libc, rules, path, READ)
    for path in write:
        _allow(libc, rules, path, handled)
    for path in DEVICES:
        _allow(libc, rules, path, handled)
    for port in ports or ():
        _add(
            libc, rules, NET_PORT, CONNECT.to_bytes(8, sys.byteorder) + port.to_bytes(8, sys.byteorder), f"port {port}"
        )
    if libc.syscall(RESTRICT, rules, ctypes.c_uint32(0)):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    """What is not there needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        access &= ON_FILES
    _add(libc, rules, PATHS, access.to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder), path)
    os.close(fd)


def _add(libc: ctypes.CDLL, rules: int, kind: int, rule: bytes, what: str) -> None:
    if libc.syscall(ADD, rules, ctypes.c_int(kind), ctypes.c_char_p(rule), ctypes.c_uint32(0)):
        raise OSError(ctypes.get_errno(), f"landlock_add_rule {what}")


def main() -> None:
    spec, argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
        for capability in range(64):  # root goes without its powers: Landlock does not hold back some of them
            libc.prctl(CAPBSET_DROP, capability, 0, 0, 0)
        if spec["user"]:
            os.setgroups([])
            os.setgid(spec["user"][1])
            os.setuid(spec["user"][0])
        libc.prctl(PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # after that, because it does not outlive it
        if os.getppid() != spec["parent"]:
            os._exit(126)  # it died before we could ask to be told
        os.chdir(spec["folder"])
        os.umask(0o077)
        for name, most in spec["limits"].items():
            which = getattr(resource, "RLIMIT_" + name)
            hard = resource.getrlimit(which)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (most, most))
        program = _found(argv[0])  # now: what is imported for it cannot be read any more once we are confined
        if spec["confine"]:
            confine(spec["write"], spec["read"], spec.get("ports"))
        os.execv(program, argv)
    except FileNotFoundError as e:
        _end(127, e, argv)
    except (OSError, ValueError) as e:
        _end(126, e, argv)


def _found(program: str) -> str:
    """Its path. Raises FileNotFoundError."""
    if "/" in program:
        return program
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(2, "there is no such program")


def _end(code: int, e: Exception, argv: "list[str]") -> None:
    said = getattr(e, "strerror", None) or str(e)
    sys.stderr.write(f"swarmops: {argv[0]} cannot be started: {said}\n")
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
