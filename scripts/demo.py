"""The story that `make demo` tells: the whole system on this machine, without root, and nothing of it played.

Everything lies in one folder, also secrets and backups; at the end all processes are gone, and the folder with them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swarmops.delivery import local
from swarmops.model import local as model
from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.runtime import environment
from swarmops.runtime.client.embedded import find
from swarmops.target.supervisor import Supervisor

ROOT = Path(__file__).parent.parent
SWARMOPS = [sys.executable, "-m", "swarmops"]
TEXTS = {
    "leases": "A worker that falls silent loses its lease, and its tasks run again elsewhere.",
    "backups": "Every dump is proven: a scratch Redis boots on the copy and counts its keys.",
    "mesh": "WireGuard joins the hosts of all sites into one network.",
}
TASKS = 300
LEASE = 2.0  # seconds: short, so that a death is seen soon


class Broken(Exception):
    """The demo did not find what it should."""


def main() -> int:
    once = "--once" in sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="swarmops-demo-"))
    demo = Demo(folder)
    try:
        demo.tell()
        say(f"that took {time.monotonic() - began:.0f} s")
        if not once:
            demo.stay()
        return 0
    except KeyboardInterrupt:
        return 0 if demo.told else 130
    except Broken as e:
        print(f"   BROKEN: {e}", flush=True)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # what was begun here is ended in order
        say("stopping everything; the folder goes as well")
        demo.end()


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


class Demo:
    """One run in `folder`."""

    def __init__(self, folder: Path):
        self.folder, self.told = folder, False
        for variable in (*environment.URLS, *environment.ENVIRONMENT):  # these name or change another Redis than ours
            os.environ.pop(variable, None)
        os.environ["SWARMOPS_STATE"] = str(folder)
        os.environ["SWARMOPS_SECRETS"] = str(folder / "secrets.yaml")
        self.inventory = folder / "local"
        self.project: Project | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.urls: dict[str, str] = {}

    def tell(self) -> None:
        self.declared()
        self.deployed()
        self.workflow()
        self.killed()
        self.looked_after()
        self.told = True

    # -- chapters

    def declared(self) -> None:
        server = find()
        say(f"six roles on one machine, as user {os.environ.get('USER') or os.getuid()}; Redis {server.version}")
        if server.note:
            print(f"   {server.note}")
        shutil.copytree(ROOT / "inventory/local", self.inventory)
        self._free_ports()
        swarmops("secrets", "init", quiet=True)
        swarmops("validate", "-i", str(self.inventory))
        self.project = Project.open(ROOT, str(self.inventory), Faults())
        os.environ["SWARMOPS_RUNTIME"] = f"{model.paths(True, self.project.name)['config']}/runtime.json"
        self.urls = {name: found[0] for name, found in self.project.urls().items() if found}

    def deployed(self) -> None:
        say("deploy, the same roles as on six hosts; without root, a supervisor keeps the services")
        with timed():
            swarmops("deploy", "-i", str(self.inventory), "--yes", only=("host :", "localhost :", "left out", "failed"))
        say("deploy again: nothing to do")
        with timed():
            swarmops("deploy", "-i", str(self.inventory), "--yes", only=("localhost :",))

    def workflow(self) -> None:
        say("tasks that wait for each other go in at the coordinator, and to whoever can do them")
        kinds = self.until(lambda: self._kinds({"embed", "index", "search"}), 20, "workers for embed, index and search")
        items = [{"id": name, "text": text} for name, text in TEXTS.items()]
        steps = [
            {"name": "embed", "type": "embed", "args": {"texts": list(TEXTS.values())}},
            {"name": "index", "type": "index", "args": {"collection": "demo", "items": items}},
            {"name": "search", "type": "search", "after": ["index"]}
            | {"args": {"collection": "demo", "text": "what happens when a machine dies?", "k": 1}},
        ]
        began = time.monotonic()
        flow = self.ask("POST", "/api/workflows", {"name": "demo", "steps": steps})
        done = self.until(lambda: self._ended(flow["id"]), 60, "the workflow's end")
        took = time.monotonic() - began
        for step in done["steps"]:
            print(f"   {step['name']:<8} {step['status']:<6} by {step['worker'] or '-'}{_said(step)}", flush=True)
        if done["status"] != "done":
            raise Broken(f"the workflow is {done['status']}: {[s['error'] for s in done['steps']]}")
        print(f"   {len(done['steps'])} steps in {took:.2f} s; {len(kinds)} kinds of tasks are known", flush=True)

    def killed(self) -> None:
        say("a worker is killed (-9) with tasks in hand; they run again elsewhere")
        for name in ("worker-a", "worker-b"):
            words = ["worker", "--handlers", "swarmops.runtime.demo.jobs:handlers", "--name", name]
            with open(self.folder / f"{name}.log", "wb") as log:
                self.workers[name] = subprocess.Popen(
                    [*SWARMOPS, *words, "--lease", str(LEASE)], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )
        self.until(lambda: self._kinds({"square"}), 20, "workers for square")
        tasks = [{"type": "square", "args": {"n": n}, "id": f"square-{n}"} for n in range(TASKS)]
        self.ask("POST", "/api/tasks/batch", {"tasks": tasks})
        held = self.until(lambda: self._held("worker-a"), 20, "a worker at work")
        died = time.monotonic()
        self.workers["worker-a"].kill()
        self.until(lambda: not self._open(), 60, "all tasks done")
        took = time.monotonic() - died
        done = self.ask("GET", f"/api/tasks?status=done&limit={TASKS + 10}")["tasks"]
        squares = [t for t in done if t["type"] == "square"]
        right = [t for t in squares if t["result"] == int(t["id"].removeprefix("square-")) ** 2]
        again = sum(t["attempt"] > 1 for t in right)
        if len(right) != TASKS or not again:
            raise Broken(f"{len(right)} of {TASKS} tasks have their result, {again} ran again")
        print(f"   worker-a died with {held} of {TASKS} tasks in hand; {again} ran again, all done {took:.1f} s later")

        pid = self._supervisor().info("npu")["pid"]
        died = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self._supervisor().info("npu")["pid"] not in (0, pid), 20, "the supervisor to start npu")
        self.until(lambda: self._well("npu"), 20, "npu to be well again")
        print(f"   the npu service was killed as well: back after {time.monotonic() - died:.1f} s", flush=True)

    def looked_after(self) -> None:
        say("how is everything?")
        swarmops("check-health", "-i", str(self.inventory), fine=(0, 1))
        for worker in ("npu", "ai", "browser"):
            for why in self.ask("GET", self.urls[worker])["why"]:
                print(f"   {worker} says: {why}", flush=True)
        say("backup: collected, then proved by booting a scratch Redis on the copy")
        backups = str(self.folder / "backups")
        swarmops("collect-backups", "-i", str(self.inventory), "--to", backups)
        swarmops("backups", "verify", "-i", str(self.inventory), "--to", backups, only=("redis dump", "good"))

    def stay(self) -> None:
        say(f"it all stays up until Ctrl-C: {self.urls['frontend']}")
        print(f"   to look on, log in with   {self.token('read')}")
        print("   in another terminal:")
        print(f"       export SWARMOPS_STATE={self.folder} SWARMOPS_SECRETS={self.folder}/secrets.yaml")
        print(f"       .venv/bin/swarmops status -i {self.inventory}", flush=True)
        signal.pause()

    def end(self) -> None:
        for process in self.workers.values():
            process.terminate()
        for process in self.workers.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.project:
            local.shut_down(self.project)
        shutil.rmtree(self.folder)

    # -- with what

    def _free_ports(self) -> None:
        """The declared ports; others where somebody has them already."""
        taken = {}
        for name, service in Project.open(ROOT, str(self.inventory), Faults()).distributed.services.items():
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", service["port"]))
                except OSError:
                    with socket.socket() as other:
                        other.bind(("127.0.0.1", 0))
                        taken[f"{name}_port"] = other.getsockname()[1]
        if taken:
            print(f"   in use, so others are taken: {', '.join(f'{k} {v}' for k, v in taken.items())}", flush=True)
            (self.inventory / "group_vars").mkdir()
            (self.inventory / "group_vars/all.yaml").write_text(json.dumps(taken))

    def _supervisor(self) -> Supervisor:
        assert self.project
        found = local.supervisor(self.project)
        assert found
        return found

    def token(self, name: str) -> str:
        assert self.project
        return f"{name}.{self.project.store.get(f'api.{name}').open()}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What is answered at `path`, a URL or one of the coordinator's. Raises Broken."""
        place = self.urls["coordinator"].removesuffix("/api/health") if path.startswith("/") else ""
        head = {"Authorization": f"Bearer {self.token('worker')}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(place + path, data, head, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as said:  # noqa: S310
                return json.load(said)
        except urllib.error.HTTPError as e:
            raise Broken(f"{method} {path} answers {e.code}: {e.read().decode()[:500]}") from None
        except OSError as e:
            raise Broken(f"{method} {path}: {e}") from None

    def until(self, look: Callable[[], Any], within: float, what: str) -> Any:
        end = time.monotonic() + within
        while not (found := look()):
            if time.monotonic() > end:
                raise Broken(f"waited {within:g} s for {what}")
            time.sleep(0.05)
        return found

    def _kinds(self, wanted: set[str]) -> Any:
        known = self.ask("GET", "/api/kinds")["kinds"]
        return known if wanted <= set(known) else None

    def _ended(self, id: str) -> Any:
        flow = self.ask("GET", f"/api/workflows/{id}")
        return flow if flow["status"] != "running" else None

    def _held(self, worker: str) -> int:
        tasks = self.ask("GET", f"/api/tasks?status=running&limit={TASKS}")["tasks"]
        return sum(t["worker"] == worker or t["worker"].startswith(worker) for t in tasks)

    def _open(self) -> int:
        return len(self.ask("GET", "/api/tasks?status=ready,running,waiting,delayed&limit=10")["tasks"])

    def _well(self, service: str) -> bool:
        try:
            with urllib.request.urlopen(self.urls[service], timeout=2) as said:  # noqa: S310
                return bool(said.status == 200)
        except OSError:
            return False


def _said(step: dict[str, Any]) -> str:
    """The gist of a step's result."""
    result = step["result"] or {}
    if "vectors" in result:
        return f": {len(result['vectors'])} vectors of {result['dim']} numbers"
    for key in ("hits", "results", "found"):
        if result.get(key):
            return f": '{TEXTS[result[key][0]['id']]}'"
    return ""


def swarmops(*args: str, quiet: bool = False, only: tuple[str, ...] = (), fine: tuple[int, ...] = (0,)) -> None:
    """A command as a user types it. `only` lines that hold one of these are shown. Raises Broken."""
    done = subprocess.run([*SWARMOPS, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True)
    lines = done.stdout.rstrip().splitlines()
    if done.returncode not in fine:
        raise Broken(f"swarmops {' '.join(args)} ended with {done.returncode}\n" + "\n".join(lines[-40:]))
    for line in lines if not quiet else []:
        if not only or any(word in line for word in only):
            print(f"   {line}")
    sys.stdout.flush()


@contextmanager
def timed() -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"   {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
