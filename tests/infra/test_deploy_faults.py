"""What a deploy survives, on real hosts: cuts, power loss, a killed controller, a full disk, at several points."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from swarmops.lab import Lab
from tests.infra.fleet import Controller, Said, when

HOST = "npu-1"
FILES = 8
BODY = "generation {{ generation }} of file {{ item }}\n" + "padding to make it worth cutting\n" * 60

ROLE = """
role: work
vars: {generation: 1, files: [FILES]}
tasks:
  - {name: make the folder, file: {path: /srv/work, state: directory, mode: "0755"}}
  - name: write
    template: {src: body.j2, dest: "/srv/work/{{ item }}.conf", mode: "0644"}
    loop: "{{ files }}"
    notify: take it in
  # As long as a test holds it, the run is not over.
  - name: last
    command: {argv: [/bin/sh, -c, "sleep 0.2; while [ -e /srv/hold ]; do sleep 0.1; done"], changed_when: false}
handlers:
  - {name: take it in, command: {argv: [/bin/sh, -c, "cat /srv/work/*.conf | sha256sum > /srv/taken"]}}
""".replace("FILES", ", ".join(f"f{i}" for i in range(FILES)))


@pytest.fixture
def controller(healed: Lab, tmp_path: Path) -> Controller:
    """A small project of its own, so that every point of it can be hit."""
    root = tmp_path / "project"
    for folder in ("inventory/lan", "roles/work", "templates/work"):
        (root / folder).mkdir(parents=True)
    (root / "distributed.yaml").write_text(
        "version: 1\ndeployment: {name: faults, tier: lan}\ninfrastructure: {work: all}\n"
        "network: {subnet: 172.16.168.0/24, controllers: [172.16.168.1/32]}\n"
    )
    hosts = "".join(f"    {g.name}: {{ansible_host: {g.address}}}\n" for g in healed.guests)
    (root / "inventory/lan/hosts.yaml").write_text(
        "all:\n  vars: {ansible_user: ops, ansible_become: true}\n  hosts:\n" + hosts
    )
    (root / "roles/work/role.yaml").write_text(ROLE)
    (root / "templates/work/body.j2").write_text(BODY)
    controller = Controller(healed, root, {"SWARMOPS_SECRETS": str(tmp_path / "s" / "secrets.yaml")})
    for guest in healed.guests:  # the lab's hosts may have been another deployment's
        healed.exec(guest.name, ["rm", "-rf", "/srv/work", "/srv/taken", "/srv/hold", "/var/lib/swarmops"])
    (healed.files.controller / "machines.json").unlink(missing_ok=True)
    return controller


def on(lab: Lab, *argv: str, host: str = HOST) -> str:
    return lab.exec(host, list(argv)).stdout.strip()


def nothing_half_written(lab: Lab) -> None:
    """Every file under its final name is whole: generation 1 or 2, never something between."""
    sizes = on(lab, "sh", "-c", "stat -c %s /srv/work/*.conf 2>/dev/null | sort -u")
    assert len(sizes.split()) <= 1, sizes
    heads = on(lab, "sh", "-c", "head -qn1 /srv/work/*.conf 2>/dev/null | cut -d' ' -f1,2 | sort -u")
    assert set(heads.splitlines()) <= {"generation 1", "generation 2"}, heads


def recovers(controller: Controller) -> None:
    """The next run completes, the one after changes nothing, no temp file is left, the handler has run."""
    lab = controller.lab
    nothing_half_written(lab)
    again = _until_done(controller)
    assert again.code == 0, again
    third = controller.deploy("-l", HOST, "-e", "work_generation=2")
    assert controller.changed(third) == [] and third.code == 0, third
    assert on(lab, "sh", "-c", "ls -A /srv/work | grep -v '^f[0-9]*.conf$'") == ""
    taken = on(lab, "sh", "-c", "cat /srv/work/*.conf | sha256sum | cmp - /srv/taken && echo same")
    assert taken == "same"


def _until_done(controller: Controller) -> Said:
    """A run whose host may still be coming back."""
    for _ in range(20):
        said = controller.deploy("-l", HOST, "-e", "work_generation=2")
        if said.code != 3:
            return said
        time.sleep(0.5)  # the host is booting; SSH is the event, and this is how one asks for it
    return said


@pytest.fixture
def deployed(controller: Controller) -> Controller:
    first = controller.deploy("-l", HOST)
    assert first.code == 0, first
    return controller


def start(controller: Controller) -> subprocess.Popen[str]:
    return controller.start("deploy", "lan", "--yes", "--format", "jsonl", "-l", HOST, "-e", "work_generation=2")


POINTS = ["work/write[f0]", "work/write[f4]", f"work/write[f{FILES - 1}]"]


@pytest.mark.parametrize("point", POINTS)
def test_ssh_cut_in_mid_deploy(deployed: Controller, point: str) -> None:
    """F24: the operator is told within 20 s which host and why; then all is as after a clean deploy."""
    lab = deployed.lab
    began = 0.0

    def cut() -> None:
        nonlocal began
        began = time.monotonic()
        lab.fault("cut", HOST)

    seen = when(start(deployed), point, cut)
    assert time.monotonic() - began < 20
    ended = [r for r in seen if r["type"] == "host"]
    # The host may have said its last word before the cut; if not, it counts as lost and is named.
    assert [r["host"] for r in ended] == [HOST]
    if not ended[0]["ok"]:
        assert ended[0]["status"] == "lost" and "heard" in ended[0]["reason"], ended
    lab.heal(HOST)
    recovers(deployed)


@pytest.mark.parametrize("point", POINTS)
def test_power_cut_in_mid_deploy(deployed: Controller, point: str) -> None:
    """F25."""
    lab = deployed.lab
    when(start(deployed), point, lambda: lab.fault("poweroff", HOST))
    lab.start([HOST])
    lab.wait([HOST])
    recovers(deployed)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_controller_killed_in_mid_deploy(deployed: Controller, point: str, sign: signal.Signals) -> None:
    """F26: the host stops after its current step and the lock is free."""
    child = start(deployed)
    seen = []
    from tests.infra.fleet import records

    for record in records(child):
        seen.append(record)
        if record.get("id") == point:
            child.send_signal(sign)
            break
    else:
        pytest.fail(f"{point} was never reported: {seen[-3:]}")
    child.wait(20)
    assert child.returncode in (-sign, 130, 0)
    recovers(deployed)


@pytest.mark.parametrize("left", [0, 4096])
def test_disk_full_in_mid_deploy(deployed: Controller, left: int) -> None:
    """F21: old files stay, the message names path and free bytes, and the deploy resumes when there is room."""
    lab = deployed.lab
    lab.fault("full", HOST, value=left)
    said = deployed.deploy("-l", HOST, "-e", "work_generation=2")
    assert said.code == 1, said
    why = " ".join(deployed.failed(said).values()) + str(said.json["hosts"])
    assert "disk is full" in why or "No space left" in why, said
    nothing_half_written(lab)
    lab.heal(HOST)
    recovers(deployed)


def test_two_deploys_at_once(deployed: Controller) -> None:
    """F27: the second is refused and names the first."""
    on(deployed.lab, "touch", "/srv/hold")
    first = start(deployed)
    second: list[Said] = []

    def try_again() -> None:
        second.append(deployed.deploy("-l", HOST))
        on(deployed.lab, "rm", "/srv/hold")

    when(first, "work/write[f0]", try_again)
    refused = second[0].json["hosts"][HOST]
    assert second[0].code == 1 and refused["status"] == "refused"
    assert f"pid {first.pid}" in refused["reason"] and "since" in refused["reason"]
    recovers(deployed)


def test_a_host_that_is_down_costs_its_timeout_only(deployed: Controller) -> None:
    lab = deployed.lab
    lab.fault("poweroff", HOST)
    began = time.monotonic()
    said = deployed.deploy("--connect-timeout", "3")
    took = time.monotonic() - began
    ends = {n: h["status"] for n, h in said.json["hosts"].items()}
    assert said.code == 3 and ends.pop(HOST) == "unreachable" and set(ends.values()) == {"done"}, said
    assert took < 12, took
    lab.start([HOST])
    lab.wait([HOST])
    retried = deployed.deploy("--retry")
    assert list(retried.json["hosts"]) == [HOST] and retried.code == 0, retried


def test_another_machine_under_the_name_is_refused(deployed: Controller) -> None:
    """Case 64."""
    from swarmops.delivery import records

    records.remember_machines(deployed.lab.files.controller, {HOST: "0" * 32}, replace=True)
    said = deployed.deploy("-l", HOST)
    assert said.code == 1 and "another machine answers" in said.json["hosts"][HOST]["reason"], said
    assert deployed.deploy("-l", HOST, "--adopt").code == 0
    assert deployed.deploy("-l", HOST).code == 0


def test_an_unpinned_or_changed_host_key_is_refused(deployed: Controller, tmp_path: Path) -> None:
    """Case 63."""
    known = deployed.lab.files.controller / "known_hosts"
    kept = known.read_text()
    try:
        known.write_text("")
        said = deployed.deploy("-l", HOST)
        assert said.code == 3 and "not pinned" in said.json["hosts"][HOST]["reason"], said
        pinned = deployed.run("keys", "pin", "lan", "-l", HOST, "--yes")
        assert pinned.code == 0 and "pinned 1" in pinned.out, pinned
        assert deployed.deploy("-l", HOST).code == 0
    finally:
        known.write_text(kept)
