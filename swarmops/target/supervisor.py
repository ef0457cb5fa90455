"""The supervisord of a host that is deployed without root: spoken to by XML-RPC over its unix socket, and started.

Only the standard library is used here; supervisord itself is run by a Python that has the package `supervisor`.
"""

import os
import time

from swarmops.target.system import Failed

LONGEST_SOCKET = 100  # bytes of the socket's path; supervisord needs some more for a temporary name beside it
READY = 20  # seconds within which a supervisord that was just started must answer
COMES_UP = 10.0  # seconds; supervisord calls a program running once it has lasted for a second (startsecs)
CALL = 120  # seconds for one call; stopping a program may take as long as the program is given
KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
KEPT_PREFIXES = ("LC_", "PLAYWRIGHT_", "SSL_CERT_", "XDG_")


class Refused(Exception):
    """supervisord understood, and said no. `code` is its number for it."""

    def __init__(self, code, text):
        self.code = code
        Exception.__init__(self, text)


class Supervisor:
    """One supervisord, by the path of its configuration. Raises Failed where it cannot be used as configured."""

    def __init__(self, config):
        self.config = config
        found = settings(config)
        self.socket = found.get("unix_http_server", {}).get("file", "")
        self.log = found.get("supervisord", {}).get("logfile", "")
        self.pidfile = found.get("supervisord", {}).get("pidfile", "")
        if not self.socket:
            raise Failed("%s names no socket (file, in [unix_http_server])" % config)
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            text = "%s is too long for a socket (at most %d bytes): set SWARMOPS_STATE to a shorter folder"
            raise Failed(text % (self.socket, LONGEST_SOCKET))

    def call(self, name, *args, timeout=CALL):
        """The answer to one call, such as call("getProcessInfo", "redis"). Raises Refused, OSError."""
        import xmlrpc.client

        proxy = xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=_transport(self.socket, timeout))
        try:
            return getattr(proxy.supervisor, name)(*args)
        except xmlrpc.client.Fault as e:
            raise Refused(e.faultCode, e.faultString)
        except xmlrpc.client.Error as e:
            raise OSError("supervisord at %s does not answer as one: %s" % (self.socket, e))

    def answers(self):
        """Whether it runs."""
        try:
            return bool(self.call("getSupervisorVersion", timeout=5))
        except (OSError, Refused):
            return False

    def info(self, program):
        """What it knows of a program; None when it has none of that name."""
        try:
            return self.call("getProcessInfo", program)
        except Refused as e:
            if e.code == 10:  # BAD_NAME
                return None
            raise

    def changed(self):
        """{program: "added" | "changed" | "removed"}: how its files differ from what it runs with."""
        try:
            added, changed, removed = self.call("reloadConfig")[0]
        except Refused as e:
            raise Failed("supervisord cannot read its files: %s" % e)
        found = dict.fromkeys(removed, "removed")
        found.update(dict.fromkeys(added, "added"), **dict.fromkeys(changed, "changed"))
        return found

    def start(self, python):
        """Start it, apart from us and our terminal, and wait until it answers."""
        import subprocess

        os.makedirs(os.path.dirname(self.socket), mode=0o700, exist_ok=True)
        said = self.socket + ".said"
        with open(said, "wb") as err:
            child = subprocess.Popen(
                [python, "-m", "supervisor.supervisord", "-n", "-s", "-c", self.config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                cwd=os.path.dirname(self.config),
                env=environment(),
                start_new_session=True,
            )
        end, pause = time.monotonic() + READY, 0.01
        while not self.answers():
            if child.poll() is not None:
                with open(said, encoding="utf-8", errors="replace") as f:
                    words = [line.strip() for line in f if line.strip()]
                raise Failed(_why(python, words))
            if time.monotonic() > end:
                raise Failed("supervisord was started and does not answer within %d s (see %s)" % (READY, self.log))
            time.sleep(pause)  # a socket that is not there yet cannot be waited for
            pause = min(pause * 1.5, 0.1)
        os.unlink(said)

    def run(self, program):
        """Start a program unless it is up, and see that it stays. Raises Failed with its last words."""
        if self.info(program)["statename"] == "BACKOFF":
            self.stop(program)  # else it waits longer each time
        try:
            self.call("startProcess", program, False)
        except Refused as e:
            if e.code != 60:  # ALREADY_STARTED: supervisord was quicker
                info = self.info(program) or {}
                raise Failed("%s does not start: %s%s" % (program, info.get("spawnerr") or e, self.tail(info)))
        end = time.monotonic() + COMES_UP
        while True:
            info = self.info(program)
            if info["statename"] == "RUNNING":
                return
            if info["statename"] != "STARTING" or time.monotonic() > end:
                raise Failed("%s does not stay up (%s)%s" % (program, info["statename"].lower(), self.tail(info)))
            time.sleep(0.05)  # supervisord tells nobody that nothing happened

    def stop(self, program):
        """Stop a program; one that does not run is fine."""
        try:
            self.call("stopProcess", program)
        except Refused as e:
            if e.code != 70:  # NOT_RUNNING
                raise

    def remove(self, program):
        """Stop a program and forget it; one that is not known is fine."""
        if self.info(program) is not None:
            self.stop(program)
            self.call("removeProcessGroup", program)

    def tail(self, info):
        """The last lines that a program said, for the end of a sentence."""
        try:
            with open(info["stdout_logfile"], "rb") as f:
                f.seek(max(0, os.fstat(f.fileno()).st_size - 4096))
                lines = f.read().decode("utf-8", "replace").splitlines()[-8:]
        except (OSError, KeyError, TypeError):
            return ""
        return "".join("\n  " + line[:300] for line in lines)


def settings(config):
    """{section: {key: value}} of a configuration file. Raises Failed when it cannot be read."""
    import configparser

    reader = configparser.RawConfigParser(inline_comment_prefixes=(" ;", "\t;"), strict=False)
    try:
        with open(config, encoding="utf-8") as f:
            reader.read_file(f)
    except (OSError, configparser.Error) as e:
        raise Failed("cannot read %s: %s" % (config, getattr(e, "strerror", None) or e))
    return {name: {k: v.replace("%%", "%") for k, v in reader.items(name)} for name in reader.sections()}


def environment():
    """What programs are given of the environment in which swarmops was called: no settings of it, no secrets."""
    proxies = ("http_proxy", "https_proxy", "no_proxy")
    return {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(KEPT_PREFIXES) or k.lower() in proxies}


def _transport(path, timeout):
    import http.client
    import socket
    import xmlrpc.client

    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(path)

    class Transport(xmlrpc.client.Transport):
        def make_connection(self, host):
            return Connection("supervisor")

    return Transport()


def _why(python, words):
    if any("No module named" in line for line in words):
        return "%s has no package supervisor (install it: pip install 'swarmops[local]')" % python
    return "supervisord does not start: %s" % (" / ".join(words[-3:])[-500:] or "(no words)")
