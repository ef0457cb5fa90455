"""The kind supervisorctl and the probe program against a real supervisord."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.target import health
from swarmops.target.engine import Engine
from swarmops.target.kinds import _answering, supervisorctl
from swarmops.target.supervisor import Supervisor
from swarmops.target.system import System
from tests.conftest import lacking
from tests.runtime.server import free_port

CONF = """\
[supervisord]
logfile={0}/supervisord.log
pidfile={0}/run/pid
[unix_http_server]
file={0}/run/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[include]
files={0}/programs/*.conf
"""


class Kept:
    """A folder for one supervisord, and the kind played on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = folder / "supervisord.conf"
        (folder / "programs").mkdir()
        self.config.write_text(CONF.format(folder))
        self.system: Any = None

    def program(self, command: str, name: str = "p", more: str = "") -> None:
        words = [f"[program:{name}]", f"command={command}", "startsecs=1", "startretries=100"]
        words += [f"stdout_logfile={self.folder}/{name}.log", "redirect_stderr=true", more]
        (self.folder / f"programs/{name}.conf").write_text("\n".join(words) + "\n")

    def play(self, *states: str, name: str = "p", check: bool = False, url: str = "") -> list[dict[str, Any]]:
        """Steps of one run: what each came to."""
        seen: list[dict[str, Any]] = []

        class Events:
            gone = False

            def emit(self, event: dict[str, Any], now: bool = True) -> None:
                seen.append(event)

            def flush(self) -> None:
                pass

        args: dict[str, Any] = {"name": name, "config": str(self.config), "python": sys.executable, "url": url or None}
        args |= {"ca_pem": None, "server_name": None}
        steps = [
            {"id": f"r/{i}", "role": f"r{i}", "name": str(i), "kind": "supervisorctl", "args": {**args, "state": state}}
            for i, state in enumerate(states)
        ]
        self.system = System(Events(), state=str(self.folder / "state"), check=check)
        Engine({"steps": steps, "run": "t"}, self.system, {"supervisorctl": supervisorctl}).play()
        return [e for e in seen if e["e"] == "step"]

    def said(self, *states: str, **more: Any) -> list[str]:
        return [e["s"] for e in self.play(*states, **more)]

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(str(self.config))

    def pid(self, name: str = "p") -> int:
        return int(self.supervisor.info(name)["pid"])

    def probe(self, name: str = "p") -> dict[str, Any]:
        check = {"id": "c", "probe": "program", "args": {"name": name, "config": str(self.config)}, "within": 10}
        return next(iter(health.results([check], health.Context([check]))))


@pytest.fixture
def kept() -> Iterator[Kept]:
    try:
        import supervisor  # noqa: F401
    except ImportError:
        lacking("the package supervisor is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sv-"))  # a short name: the kernel takes 107 bytes for a socket
    made = Kept(folder)
    yield made
    pid = int((folder / "run/pid").read_text()) if (folder / "run/pid").exists() else 0
    if pid and made.supervisor.answers():
        made.supervisor.call("shutdown")
    elif pid:
        end(pid)
    gone(pid)
    shutil.rmtree(folder)


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def gone(pid: int, within: float = 20.0) -> None:
    """Until the process has ended; as nobody's child it may wait for its burial."""
    limit = time.monotonic() + within
    while pid and time.monotonic() < limit:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.02)
    assert not pid, f"{pid} does not end"


def test_started_once_and_restarted_each_time(kept: Kept) -> None:
    kept.program("/bin/sleep 600")
    assert kept.said("started", check=True) == ["would"] and not (kept.folder / "run").exists()
    assert kept.said("started") == ["changed"]
    first = kept.pid()
    assert kept.said("started", "present") == ["ok", "ok"] and kept.pid() == first
    assert kept.said("restarted") == ["changed"] and kept.pid() != first
    assert oct((kept.folder / "run/sock").stat().st_mode & 0o077) == "0o0"
    assert kept.probe()["ok"] is True


def test_a_restart_right_after_a_start_is_the_start(kept: Kept) -> None:
    kept.program("/bin/sleep 600")
    assert kept.said("started", "restarted", "restarted") == ["changed", "ok", "changed"]


def test_a_changed_description_is_read_and_restarts(kept: Kept) -> None:
    kept.program("/bin/sleep 600")
    assert kept.said("started") == ["changed"]
    kept.program("/bin/sleep 601", "other")
    assert kept.said("started", name="other") == ["changed"]
    first, other = kept.pid(), kept.pid("other")
    kept.program("/bin/sleep 602")
    would = kept.play("started", check=True)[0]
    assert (would["s"], would["was"]) == ("would", {"program": "changed"}) and kept.pid() == first
    assert kept.said("started", "started") == ["changed", "ok"]
    assert b"602" in Path(f"/proc/{kept.pid()}/cmdline").read_bytes()
    assert kept.pid("other") == other, "another program was touched"


def test_stopped_absent_and_back(kept: Kept) -> None:
    kept.program("/bin/sleep 600")
    assert kept.said("stopped", "started") == ["ok", "changed"], "where nothing runs, nothing is to stop"
    assert kept.said("stopped", "stopped") == ["changed", "ok"]
    assert kept.probe()["detail"] == "p is stopped"
    assert kept.said("started", "absent", "absent") == ["changed", "changed", "ok"]
    assert kept.supervisor.info("p") is None and not (kept.folder / "programs/p.conf").exists()
    assert kept.probe() | {"ms": 0} == {
        **{"ok": False, "detail": "supervisord has no program p", "e": "check", "id": "c", "ms": 0}
    }
    said = kept.play("started")[0]
    assert said["s"] == "failed" and "programs/p.conf' does not exist" in said["why"]


def test_what_does_not_stay_up_says_why(kept: Kept) -> None:
    kept.program("/bin/sh -c 'echo bad option; exit 3'")
    said = kept.play("started")[0]
    assert said["s"] == "failed" and "p does not stay up (backoff)\n  bad option" in said["why"]
    kept.program("/nowhere/program")
    said = kept.play("started")[0]
    assert said["s"] == "failed" and "can't find command '/nowhere/program'" in said["why"]
    kept.program("/bin/sleep 600")
    assert kept.said("started") == ["changed"]


LATE = "import http.server, time; time.sleep(1); http.server.HTTPServer(('127.0.0.1', {}), {}).serve_forever()"


def test_with_a_url_it_is_started_once_that_answers(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4-22: what comes after it may ask it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    program = LATE.format(port, "http.server.SimpleHTTPRequestHandler")
    kept.program(f'{sys.executable} -c "{program}"', more=f"directory={kept.folder}")
    assert kept.said("started", "started", url=url) == ["changed", "ok"]
    assert urllib.request.urlopen(url).status == 200
    kept.program("/bin/sleep 600")
    monkeypatch.setattr(_answering, "ANSWERS", 0.5)
    said = kept.play("started", url=url)[0]
    assert said["s"] == "failed" and f"p runs, but {url} " in said["why"]
    assert kept.said("stopped", url=url) == ["changed"]


def test_one_that_answers_by_a_former_configuration_is_started_anew(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an interrupted deploy leaves it: another port is on the disk than the one that it listens on."""
    file, ports = kept.folder / "port", (free_port(), free_port())
    code = f"import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=int(open('{file}').read()))"
    kept.program(f'{sys.executable} -c "{code}"', more=f"directory={kept.folder}")
    file.write_text(str(ports[0]))
    assert kept.said("started", url=f"http://127.0.0.1:{ports[0]}/") == ["changed"]
    first = kept.pid()
    file.write_text(str(ports[1]))
    monkeypatch.setattr(_answering, "DEAF", 0)
    assert kept.said("started", "started", url=f"http://127.0.0.1:{ports[1]}/") == ["changed", "ok"]
    assert kept.pid() != first


def test_a_description_that_cannot_be_read(kept: Kept) -> None:
    kept.program("/bin/sleep 600")
    assert kept.said("started") == ["changed"]
    kept.program("/bin/sleep 600", more="stopwaitsecs=soon")
    said = kept.play("started")[0]
    assert said["s"] == "failed" and "supervisord cannot read its files" in said["why"]
    assert kept.probe()["ok"] is True, "what runs goes on"


def test_one_whose_description_was_taken_back_is_stopped(kept: Kept) -> None:
    kept.program("/bin/sleep 600")
    assert kept.said("started") == ["changed"]
    pid = kept.pid()
    (kept.folder / "programs/p.conf").unlink()
    said = kept.play("restarted")[0]
    assert said["s"] == "failed" and "programs/p.conf' does not exist" in said["why"]
    gone(pid)
    assert kept.supervisor.info("p") is None


def test_a_killed_program_comes_back_and_a_killed_supervisor_is_started(kept: Kept) -> None:
    kept.program("/usr/bin/setpriv --pdeathsig TERM /bin/sleep 600")
    assert kept.said("started") == ["changed"]
    first, own = kept.pid(), int((kept.folder / "run/pid").read_text())
    os.kill(first, signal.SIGKILL)
    limit = time.monotonic() + 20
    while kept.pid() in (0, first) and time.monotonic() < limit:
        time.sleep(0.05)
    second = kept.pid()
    assert second not in (0, first)
    while Path(f"/proc/{second}/comm").read_text() != "sleep\n" and time.monotonic() < limit:
        time.sleep(0.01)  # setpriv has done its work once it is the program
    os.kill(own, signal.SIGKILL)
    gone(second)  # its programs end with it, so that their ports are free
    assert kept.probe()["detail"] == "supervisord is not running"
    assert kept.said("started") == ["changed"] and kept.pid() not in (0, second)


def test_programs_are_given_no_secrets(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMOPS_SECRET_API_ADMIN", "not-for-programs")
    monkeypatch.setenv("MY_PASSWORD", "nor-this")
    kept.program("/bin/sleep 600", more=f"directory={kept.folder}/made/here")
    assert kept.said("started") == ["changed"]
    given = Path(f"/proc/{kept.pid()}/environ").read_bytes()
    assert b"not-for-programs" not in given and b"nor-this" not in given and b"PATH=" in given
    assert (kept.folder / "made/here").stat().st_mode & 0o077 == 0
