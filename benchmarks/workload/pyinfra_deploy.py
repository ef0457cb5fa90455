"""The workload for pyinfra."""

from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates" / "bench"
APP = {"user": "benchapp", "group": "bench"}
ROOT = {"user": "root", "group": "root"}
seen = {"inventory_hostname": host.name, "bench_level": int(host.data.get("bench_level") or 1)}


def template(name, dest, item=None, **owner):
    return files.template(src=str(TEMPLATES / f"{name}.j2"), dest=dest, item=item, **seen, **owner)


apt.packages(packages=["nftables", "procps"])
server.group(group="bench", gid=2000)
for uid, name in ((2001, "benchapp"), (2002, "benchops")):
    server.user(
        user=name, uid=uid, group="bench", shell="/bin/bash", home=f"/home/{name}", create_home=True, ensure_home=False
    )
server.user_authorized_keys(user="benchops", group="bench", public_keys=[(HERE / "bench.pub").read_text().strip()])
for path in "/etc/bench /etc/bench/conf.d /etc/bench/redis /var/lib/bench /var/lib/bench/data /var/log/bench".split():
    files.directory(path=path, mode="750", **APP)
landed = [template("app.conf", f"/etc/bench/conf.d/{n:02d}.conf", n, mode="640", **APP) for n in range(20)]
settings = template("sysctl.conf", "/etc/sysctl.d/60-bench.conf", mode="644", **ROOT)
rules = template("bench.nft", "/etc/bench/bench.nft", mode="600", **ROOT)
template("redis.conf", "/etc/bench/redis/redis.conf", mode="640", **APP)
files.line(path="/etc/hosts", line=".* bench-redis$", replace="10.88.0.200 bench-redis")
for unit in "abc":
    template("unit.service", f"/etc/systemd/system/bench-{unit}.service", unit, mode="644", **ROOT)
for unit in "abc":
    systemd.service(service=f"bench-{unit}", running=True, enabled=True)
server.shell(commands=["sysctl -q -p /etc/sysctl.d/60-bench.conf"], _if=settings.did_change)
server.shell(commands=["nft -f /etc/bench/bench.nft"], _if=rules.did_change)
systemd.service(service="bench-a", restarted=True, _if=lambda: any(op.did_change() for op in landed))
