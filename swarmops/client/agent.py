"""An agent: connects out to its coordinator, does what comes, and stays (S1-01, S1-12, S1-17).

    def embed(text: str) -> list[float]: ...

    Agent("https://coordinator-1:8002", token, "laptop-1").run({"embed": embed})

Tasks run in threads of their own, so that the connection lives while they work. What was done and could not be told is
kept, and told after the next connect. Nothing here is of one system only.
"""

from __future__ import annotations

import contextlib
import logging
import random
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from swarmops.client.errors import Denied
from swarmops.client.facts import detect, stable_id
from swarmops.client.jobs import Fatal, Job, Retry, work
from swarmops.client.socket import Broken, Socket

__all__ = ["Agent", "Fatal", "Job", "Retry"]
MOST_PAUSE = 5.0  # seconds between two tries to connect
log = logging.getLogger("swarmops.agent")
Message = dict[str, Any]


class Agent:
    """token: `<id>.<secret>` with the scope agent. name: its id, the same after every start (default: the host's name).

    capacity: tasks at the same time. capabilities: beside the kinds of its handlers and what is detected. ca: a file of
    certificates to trust instead of the system's, or a context. drain: seconds that tasks may take when it is to end.
    on_config: called with a new configuration before it is acknowledged.
    """

    def __init__(
        self,
        url: str,
        token: str,
        name: str = "",
        *,
        capabilities: Sequence[str] = (),
        capacity: int = 1,
        queue: str | None = None,
        ca: str | ssl.SSLContext | None = None,
        drain: float = 30.0,
        on_config: Callable[[Any], Any] | None = None,
        on_stop: Callable[[], Any] | None = None,
    ):
        self.id = name or stable_id()
        self._socket = Socket(url, token, ca)
        self._found, self._able = detect()
        self.capabilities, self.capacity, self.queue, self.drain = list(capabilities), capacity, queue, drain
        self.on_config, self.on_stop = on_config, on_stop
        self.config_version = 0
        self.connected = threading.Event()  # registered, as far as we know
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}  # running
        self._told: dict[tuple[str, int], Message] = {}  # outcomes that nobody has taken yet
        self._heartbeat = 10.0
        self._been = False  # registered once: from then on we know what we hold

    def run(self, handlers: Mapping[str, Callable[..., Any]]) -> int:
        """Work until `stop`, SIGTERM or Ctrl-C. Raises Denied when its token is bad from the start."""
        self._handlers = dict(handlers)
        with self._signals():
            try:
                self._stay()
            finally:
                self._end()
        return 0

    def stop(self) -> None:
        """Take nothing more, finish what runs within `drain` seconds, and end. From any thread."""
        self.stopping.set()

    # -- being connected

    def _stay(self) -> None:
        tries, known = 0, False
        while not self.stopping.is_set():
            try:
                self._socket.connect()
                self._introduce()
                tries, known = 0, True
                self._listen()
            except Denied as e:
                if not known:
                    raise
                log.warning("the coordinator does not let us in: %s", e)
            except Broken as e:
                if tries in (0, 5) and not self.stopping.is_set():
                    log.warning("not connected: %s (it goes on trying)", e)
            finally:
                if not self.stopping.is_set():  # else what still runs is told over this connection
                    self.connected.clear()
                    self._socket.close()
            tries += 1
            self.stopping.wait(random.uniform(0.1, 1.0) * min(MOST_PAUSE, 0.25 * 2**tries))

    def _introduce(self) -> None:
        with self._lock:
            holds = {job.id: job.attempt for job in self._jobs.values()} | dict(self._told.keys())
        said: Message = {
            "type": "register",
            "agent_id": self.id,
            "capabilities": [*self._able, *self.capabilities],
            "kinds": sorted(self._handlers),
            "facts": self._found,
            "capacity": self.capacity,
            "config_version": self.config_version,
        }
        if self.queue:
            said["queue"] = self.queue
        if self._been:
            said["holds"] = [{"task_id": id, "attempt": attempt} for id, attempt in holds.items()]
        self._socket.send(said)
        while True:
            told = self._socket.receive(15.0)
            if told is None:
                raise Broken("it does not answer")
            if told["type"] == "error":
                raise Broken(f"it does not take us: {told.get('error')}")
            if told["type"] == "registered":
                break
        self._been = True
        self._registered(told)

    def _registered(self, told: Message) -> None:
        self._heartbeat = float(told["heartbeat_s"])
        for id in told.get("lost", ()):
            self._lose(id)
        if "config" in told:
            self._configure(told["config_version"], told["config"])
        self.connected.set()
        log.info("registered as %s", self.id)
        with self._lock:
            waiting = list(self._told.values())
        for message in waiting:
            self._socket.send(message)

    def _listen(self) -> None:
        beat = heard = time.monotonic()
        while not self.stopping.is_set():
            now = time.monotonic()
            if now - beat >= self._heartbeat:
                beat = now
                with self._lock:
                    holds = list(self._jobs)
                self._socket.send({"type": "heartbeat", "load": len(holds)})
            told = self._socket.receive(max(0.05, min(1.0, beat + self._heartbeat - now)))
            if told is not None:
                heard = time.monotonic()
                self._heed(told)
            elif time.monotonic() - heard > 3 * self._heartbeat + 5:
                raise Broken("nothing was heard for too long")

    def _heed(self, told: Message) -> None:
        kind = told.get("type")
        if kind == "task":
            self._begin(told)
        elif kind in ("accepted", "refused"):
            with self._lock:
                self._told.pop((told["task_id"], told["attempt"]), None)
            if kind == "refused":
                log.warning("the result of %s was refused: %s", told["task_id"], told.get("error"))
        elif kind == "cancel":
            self._lose(told["task_id"])
        elif kind == "config_update":
            self._configure(told["version"], told["config"])
        elif kind == "error":
            self._complained(told)

    def _complained(self, told: Message) -> None:
        log.warning("the coordinator: %s", told.get("error"))
        if told.get("fatal"):  # another process is this agent now: nothing here is ours any more
            self.stopping.set()
            self._socket.close()
        key = (told.get("task_id", ""), told.get("attempt", 0))
        if told.get("about") != "result" or key not in self._told:
            return
        if told.get("again"):  # it could not write it down: once more, a little later
            threading.Timer(1.0, self._send, (self._told[key],)).start()
            return
        failed = {"status": "failed", "error": str(told["error"]), "retry": False}
        with self._lock:  # what it says of our result is what became of the task
            self._told[key] = {"type": "result", "task_id": key[0], "attempt": key[1], **failed}
        self._send(self._told[key])

    def _configure(self, version: int, config: Any) -> None:
        if self.on_config:
            try:
                self.on_config(config)
            except Exception:
                log.exception("the configuration %d could not be applied", version)
                return
        self.config_version = version
        self._send({"type": "config_ack", "version": version})

    # -- tasks

    def _begin(self, told: Message) -> None:
        job = Job(told, self._progress)
        with self._lock:
            self._jobs[job.id] = job
        threading.Thread(target=self._work, args=(job,), name=f"task-{job.id}", daemon=True).start()

    def _work(self, job: Job) -> None:
        outcome = work(self._handlers, job)
        message = {"type": "result", "task_id": job.id, "attempt": job.attempt, **outcome}
        with self._lock:  # at every moment it is among what we hold
            if self._jobs.get(job.id) is not job:
                return  # lost meanwhile
            self._told[(job.id, job.attempt)] = message
            del self._jobs[job.id]
        self._send(message)

    def _progress(self, job: Job, fraction: float, text: str) -> None:
        self._send({"type": "progress", "task_id": job.id, "attempt": job.attempt, "fraction": fraction, "text": text})

    def _lose(self, id: str) -> None:
        """It is not ours any more."""
        with self._lock:
            job = self._jobs.pop(id, None)
            for key in [key for key in self._told if key[0] == id]:
                del self._told[key]
        if job:
            job.cancel()

    def _send(self, message: Message) -> None:
        """From any thread. What is lost with the connection is sent again after the next connect, if it matters."""
        if self.connected.is_set():
            with contextlib.suppress(Broken):
                self._socket.send(message)

    # -- the end

    def _end(self) -> None:
        end = time.monotonic() + self.drain
        try:
            while (self._jobs or self._told) and time.monotonic() < end and self._socket.open:
                told = self._socket.receive(0.1)
                if told and told.get("type") != "task":  # what comes now is given back with our leave
                    self._heed(told)
            if self._socket.open:
                self._socket.send({"type": "unregister"})
                while (told := self._socket.receive(2.0)) and told.get("type") != "unregistered":
                    pass
        except Broken:
            pass  # our lease ends by itself
        finally:
            self.connected.clear()
            self._socket.close()
            if self.on_stop:
                self.on_stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        which = [signal.SIGTERM, signal.SIGINT]
        before = {one: signal.signal(one, lambda *_: self.stop()) for one in which}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
