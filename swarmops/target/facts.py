"""Facts of this host, for `when: facts....` and for comparing with declared hardware (S4-15)."""

import os
import sys


def gather():
    """distribution, release, version, python, arch, libc, hostname, machine_id, memory_mb, cores, systemd."""
    release = _os_release()
    uname = os.uname()
    return {
        "distribution": release.get("ID", ""),
        "release": release.get("VERSION_CODENAME", ""),
        "version": release.get("VERSION_ID", ""),
        "python": "%d.%d" % sys.version_info[:2],
        "arch": uname.machine,
        "libc": _libc(),
        "kernel": uname.release,
        "hostname": uname.nodename,
        "machine_id": _machine_id(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "cores": os.cpu_count(),
        "systemd": os.path.isdir("/run/systemd/system"),
    }


def _libc():
    """Such as "glibc 2.41"; "musl" where the C library is no glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "musl"
    except (OSError, ValueError):
        return "musl"


def _machine_id():
    """What systemd named this machine; "" where it has no name yet."""
    said = _read("/etc/machine-id").strip()
    return "" if said == "uninitialized" else said


def _os_release():
    pairs = (line.partition("=") for line in _read("/etc/os-release").splitlines())
    return {k: v.strip().strip("\"'") for k, _, v in pairs}


def _read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""
