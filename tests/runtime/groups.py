"""Several real servers that belong together: a cluster of three, and a master with replicas and sentinels."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from swarmops.runtime import Runtime, Settings
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.op import Op
from tests.runtime.server import Server, free_port
from tests.waiting import until


def ask(server: Server, *args: Any) -> Any:
    with Runtime(Settings(port=server.port, patience=0)) as rt:
        return rt.run(Op("", ("x",), args))


class Group:
    """Servers that are ended together."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def add(self, folder: Path, *options: str, **more: Any) -> Server:
        self.servers.append(Server(folder, *options, **more))
        return self.servers[-1].start()

    def __enter__(self) -> Group:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        for server in self.servers:
            server.close()


class Cluster(Group):
    """Three masters that share the 16,384 slots."""

    def __init__(self, folder: Path):
        super().__init__()
        for i in range(3):
            options = ("--cluster-enabled", "yes", "--save", "", "--cluster-port", str(free_port()))
            self.add(folder / f"node-{i}", *options)
        first = self.servers[0]
        for i, server in enumerate(self.servers):
            ask(server, "CLUSTER", "ADDSLOTSRANGE", i * 16384 // 3, (i + 1) * 16384 // 3 - 1)
            bus = ask(server, "CONFIG", "GET", "cluster-port")[1].decode()
            ask(first, "CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for server in self.servers:
            until(lambda s=server: b"cluster_state:ok" in ask(s, "CLUSTER", "INFO"), "a cluster", despite=SwarmError)
            until(lambda s=server: len(ask(s, "CLUSTER", "SLOTS")) == 3, "everybody known", despite=SwarmError)
        self.settings = Settings(kind="cluster", nodes=tuple(("127.0.0.1", s.port) for s in self.servers))


class Watched(Group):
    """A master, two replicas and three sentinels."""

    def __init__(self, folder: Path):
        super().__init__()
        guard = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1", "--repl-diskless-sync-delay", "0")
        common = ("--appendonly", "yes", "--save", "", *guard)
        self.master = self.add(folder / "a", *common)
        of = ("--replicaof", f"127.0.0.1 {self.master.port}")
        self.replicas = [self.add(folder / name, *common, *of) for name in "bc"]
        until(lambda: self._connected() == 2, "two replicas", despite=SwarmError)
        self.sentinels = [self._sentinel(folder / f"s{i}") for i in range(3)]
        for sentinel in self.sentinels:
            until(
                lambda s=sentinel: self._knows(s), "sentinels that know each other and the replicas", despite=SwarmError
            )
        nodes = tuple(("127.0.0.1", s.port) for s in self.sentinels)
        self.settings = Settings(kind="sentinel", nodes=nodes, master="swarm", wait_replicas=1)

    def _connected(self) -> int:
        return int(ask(self.master, "INFO", "replication").split(b"connected_slaves:")[1].split()[0])

    def _knows(self, sentinel: Server) -> bool:
        said = ask(sentinel, "SENTINEL", "MASTER", "swarm")
        told = dict(zip(said[::2], said[1::2]))
        return told[b"num-slaves"] == b"2" and told[b"num-other-sentinels"] == b"2"

    def _sentinel(self, folder: Path) -> Server:
        folder.mkdir()
        config = folder / "sentinel.conf"
        watch = f"sentinel monitor swarm 127.0.0.1 {self.master.port} 2"
        times = "sentinel down-after-milliseconds swarm 1000\nsentinel failover-timeout swarm 5000"
        config.write_text(f"{watch}\n{times}\n")
        server = Server(folder, "--sentinel")
        server.config = config
        self.servers.append(server)
        return server.start()
