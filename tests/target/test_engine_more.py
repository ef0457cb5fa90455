"""The engine against what goes wrong: faults of kinds, handlers in all orders, files that are links, commands without
end, a controller that falls silent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from swarmops.target import generations, wire
from swarmops.target.engine import Engine
from swarmops.target.link import Link
from swarmops.target.lock import Held, Lock
from swarmops.target.system import Failed, System
from tests.target.harness import Here, command, landed, sha
from tests.target.test_engine import NEW, OLD, handler, statuses

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def here(tmp_path):
    return Here(tmp_path / "state")


@pytest.fixture
def system(tmp_path):
    return System(state=str(tmp_path / "state"))


class Kind:
    """A kind whose parts raise what they are told to."""

    def __init__(self, **raises):
        self.raises = raises

    def __getattr__(self, name):
        if name not in ("want", "read", "fix", "diff", "prefetch", "out"):
            raise AttributeError(name)

        def part(*args):
            if name in self.raises:
                raise self.raises[name]
            return {"want": {"x": 1}, "read": {"x": 0}}.get(name, {})

        return part


def engine(system, kind, steps):
    events = []
    system.emit = lambda event, now=True: events.append(event)
    made = Engine({"steps": steps, "run": "r1", "diff": True}, system, {"k": kind, "fine": Kind()})
    made.kinds["fine"].raises = {}
    return made, events


@pytest.mark.parametrize("part", ["want", "read", "fix", "prefetch", "diff", "out"])
@pytest.mark.parametrize("error", [TypeError("a\nb"), KeyError("x"), RecursionError(), Failed("a sentence")])
def test_a_fault_in_a_kind_fails_its_step_and_not_the_run(system, part, error):
    steps = [
        wire.step("a/bad", "a", "bad", "k", {"dest": None}, register="r", content="0" * 64),
        wire.step("b/next", "b", "next", "command_like", {}),
    ]
    steps[1]["kind"] = "fine"
    kind = Kind(**{part: error})
    if part == "out":
        kind.raises["read"] = None
        kind = type("K", (), {"want": lambda s, a: {}, "read": lambda s, a, w, y: {}, "out": kind.out})()
    made, events = engine(system, kind, steps)
    made.play()
    reports = {steps[e["i"]]["id"]: e for e in events if e["e"] == "step"}
    assert reports["a/bad"]["s"] == "failed" and "\n" not in reports["a/bad"]["why"], reports
    assert "b/next" in reports


@pytest.mark.parametrize("expression", ["x ==", "(" * 300, "f()", "x.y < 1", "x" + ".y" * 5000])
def test_a_condition_that_cannot_be_decided_fails_its_step(here, tmp_path, expression):
    reports = here.play(
        [landed("a", tmp_path / "a", NEW, when=[expression]), landed("b", tmp_path / "b", NEW)], {sha(NEW): NEW}
    )
    assert reports["a/a"]["s"] == "failed" and reports["b/b"]["s"] == "changed"


def test_a_condition_on_what_check_mode_could_not_decide_is_not_decided_either(here, tmp_path):
    steps = [
        landed("r", tmp_path / "conf", NEW, register="conf"),
        command("r", "second", ["/bin/true"], when=["conf.changed"], register="second"),
        command("r", "third", ["/bin/true"], when=["not(second.skipped)"]),
    ]
    reports = here.play(steps, {sha(NEW): NEW}, mode="check")
    assert "not applied" in reports["r/third"]["why"]


# -- handlers


def test_a_handler_due_for_a_repaired_file_is_not_lost(here, tmp_path):
    """Somebody changed the file by hand; the run that puts it right dies before the handler."""
    conf, log, gate = landed("r", tmp_path / "conf", NEW), tmp_path / "log", tmp_path / "gate"
    restart = handler(tmp_path, ["/bin/sh", "-c", f"echo ran >> {log}"], [conf["id"]])
    steps = [conf, command("r", "between", ["/bin/sh", "-c", f"test -e {gate}"]), restart]
    gate.touch()
    assert here.play(steps, {sha(NEW): NEW})["done"]["ok"]
    (tmp_path / "conf").write_bytes(OLD)
    gate.unlink()
    assert statuses(here.play(steps, {sha(NEW): NEW})) == {
        "r/conf": "changed",
        "r/between": "failed",
        "r/restart": "skipped",
    }
    gate.touch()
    assert statuses(here.play(steps))["r/restart"] == "changed"
    assert log.read_text() == "ran\nran\n"


def test_a_refused_config_leaves_no_handler_due(here, tmp_path):
    """Nothing was changed, so nothing is restarted once the old declaration is back."""
    conf, log = tmp_path / "conf", tmp_path / "log"
    good, bad = landed("r", conf, OLD), landed("r", conf, NEW)
    good["args"]["validate"] = bad["args"]["validate"] = "/bin/grep -q 1 %s"
    restart = handler(tmp_path, ["/bin/sh", "-c", f"echo ran >> {log}"], [good["id"]])
    assert here.play([good, restart], {sha(OLD): OLD})["done"]["ok"]
    assert here.play([bad, restart], {sha(NEW): NEW})["r/conf"]["s"] == "failed"
    assert statuses(here.play([good, restart])) == {"r/conf": "ok", "r/restart": "ok"}
    assert log.read_text() == "ran\n"


def test_a_watched_step_that_tags_left_out_keeps_its_handler_due(here, tmp_path):
    one, two, log = landed("r", tmp_path / "one", NEW), landed("r", tmp_path / "two", NEW), tmp_path / "log"
    ids = [one["id"], two["id"]]
    restart = handler(tmp_path, ["/bin/sh", "-c", f"echo ran >> {log}"], ids)
    failing = command("r", "fails", ["/bin/false"])
    contents = {sha(NEW): NEW}
    assert not here.play([one, two, failing, restart], contents)["done"]["ok"]  # both landed, no restart
    with_tags = [one, dict(two, skip=True), restart]
    assert statuses(here.play(with_tags))["r/restart"] == "changed"
    assert statuses(here.play([one, two, restart]))["r/restart"] == "changed"  # still due for two
    assert statuses(here.play([one, two, restart]))["r/restart"] == "ok"


def test_the_way_back_does_not_run_a_handler_whose_condition_does_not_hold(here, tmp_path):
    conf, log = tmp_path / "conf", tmp_path / "log"

    def steps(step):
        other = command(
            "r", "other", ["/bin/sh", "-c", f"echo other >> {log}"], handler=True, watches=[step["id"]], when=["1 == 2"]
        )
        restart = command("r", "restart", ["/bin/grep", "-q", "1", str(conf)], handler=True, watches=[step["id"]])
        return [step, other, restart]

    assert here.play(steps(landed("r", conf, OLD)), {sha(OLD): OLD})["done"]["ok"]
    assert not here.play(steps(landed("r", conf, NEW)), {sha(NEW): NEW})["done"]["ok"]
    assert conf.read_bytes() == OLD and not log.exists()


def test_a_handler_that_is_skipped_does_not_leave_a_file_in_doubt(here, tmp_path):
    conf = tmp_path / "conf"

    def steps(step, argv=("/bin/true",)):
        restart = command("r", "restart", list(argv), handler=True, watches=[step["id"]])
        never = command("r", "never", ["/bin/true"], handler=True, watches=[step["id"]], when=["1 == 2"])
        return [step, restart, never]

    newer = b"generation 3\n"
    for data in (OLD, NEW):
        assert here.play(steps(landed("r", conf, data)), {sha(data): data})["done"]["ok"]
    here.play(steps(landed("r", conf, newer), ["/bin/false"]), {sha(newer): newer})
    assert conf.read_bytes() == NEW  # not OLD: NEW was known to work


# -- generations


def test_a_link_comes_back_as_a_link(here, tmp_path):
    conf, real = tmp_path / "conf", tmp_path / "real"
    real.write_bytes(OLD)
    conf.symlink_to(real)
    step = landed("r", conf, NEW)
    here.play([step, handler(tmp_path, ["/bin/false"], [step["id"]])], {sha(NEW): NEW})
    assert conf.is_symlink() and conf.read_bytes() == OLD and real.read_bytes() == OLD


def test_a_planted_link_is_not_written_through(system, tmp_path):
    conf, victim = tmp_path / "conf", tmp_path / "victim"
    conf.write_bytes(OLD)
    victim.write_bytes(b"precious")
    system.keep_for = "handler"
    generations.keep(system, str(conf))
    conf.write_bytes(NEW)
    for name in (".conf.swarmops-back", "conf.swarmops-back"):
        (tmp_path / name).symlink_to(victim)
    assert generations.restore(system, [str(conf)]) == [str(conf)]
    assert conf.read_bytes() == OLD and victim.read_bytes() == b"precious"


# -- commands


def test_commands_have_the_usual_umask_and_our_files_do_not(here, tmp_path):
    made = tmp_path / "made"
    here.play([command("r", "mkdir", ["/bin/mkdir", str(made)])])
    assert made.stat().st_mode & 0o777 == 0o755
    assert (here.state).stat().st_mode & 0o777 == 0o700


def test_output_without_end_is_kept_in_bounds(system):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = system.run(["/bin/sh", "-c", "head -c 300000000 /dev/zero; echo end"], timeout=60)
    assert len(result.stdout) <= wire.MAX_TEXT and result.stdout.endswith("end\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    result = system.run(["yes"], timeout=0.5, ok=None)
    assert result.rc == -1 and "longer than" in result.stderr


def test_a_daemon_left_behind_is_not_waited_for(system, tmp_path):
    began = time.monotonic()
    result = system.run(["/bin/sh", "-c", f"echo said; sleep 30 & echo $! > {tmp_path}/pid"], timeout=20)
    assert result.stdout == "said\n" and time.monotonic() - began < 5
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_command_that_takes_too_long_takes_its_children_along(system, tmp_path):
    system.run(["/bin/sh", "-c", f"sleep 30 & echo $! > {tmp_path}/pid; wait"], timeout=0.5, ok=None)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().split()[2] == "Z":
                    break
        except FileNotFoundError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("it lives on")


def test_large_input_and_output_at_once(system):
    data = os.urandom(3 << 20)
    result = system.run(["sha256sum"], input=data)
    assert result.stdout.split()[0] == sha(data)
    assert system.run(["/bin/true"], input=data).rc == 0
    assert len(system.run(["head", "-c", "200000", "/dev/zero"], most=1 << 20).stdout) == 200_000


# -- writes


def test_writing_says_what_is_in_the_way(system, tmp_path):
    with pytest.raises(Failed, match=r"the folder .*/none does not exist"):
        system.write(str(tmp_path / "none" / "a"), NEW)


@ROOT_ONLY
def test_a_read_only_file_system_is_named(system, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("no mounts here")
    try:
        with pytest.raises(Failed, match="Read-only file system"):
            system.write(str(disk / "a"), NEW)
    finally:
        subprocess.run(["umount", disk], check=True)


@ROOT_ONLY
def test_a_state_folder_on_a_full_disk_is_named_in_one_line(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=2", "tmpfs", disk], check=False).returncode:
        pytest.skip("no mounts here")
    try:
        done = Here(disk / "state").play([landed("r", tmp_path / "a", NEW)], {sha(NEW): NEW}, owner="x/lan")["done"]
        assert not done["ok"] and "No space left" in done["why"] and "trace" not in done, done
    finally:
        subprocess.run(["umount", disk], check=True)


# -- who may leave what


def tree(folder):
    return sorted((str(p), p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def test_a_stranger_and_a_no_leave_nothing(here, tmp_path):
    from swarmops.delivery import ship

    step = landed("r", tmp_path / "a", NEW)
    child = here.start([step], machine="0" * 32)
    list(here.events(child, {}))
    child.wait(10)
    assert not (here.state / "engine").exists()
    child = here.start([step], ask=True)
    for event in here.events(child, {sha(NEW): NEW}):
        if event["e"] == "asked":
            child.stdin.write(ship.word_frame("stop"))
            child.stdin.flush()
    child.wait(10)
    assert not (here.state / "engine").exists() and not (here.state / "owner.json").exists()


def test_a_recorded_machine_whose_id_is_empty_now_is_another_one(system, monkeypatch):
    from swarmops.target import identity

    monkeypatch.setattr(identity, "_owner", lambda system: None)
    system._memo["facts"] = dict(system.facts, machine_id="")
    assert "empty" in identity.stranger({"machine": "a" * 32}, system)
    assert identity.stranger({"machine": "a" * 32, "adopt": True}, system) is None
    assert identity.stranger({"machine": None}, system) is None


@pytest.mark.parametrize("run", ["../x", "a b", "", "é", "x" * 41, "-rf"])
def test_a_run_id_that_is_no_name_is_refused(here, tmp_path, run):
    done = here.play([landed("r", tmp_path / "a", NEW)], {sha(NEW): NEW}, run=run)["done"]
    if run:
        assert not done["ok"] and "id of this run" in done["why"]
        assert not (tmp_path / "a").exists()


# -- lock


def test_a_clock_that_jumps_does_not_age_a_holder(system, tmp_path):
    first, second = Lock(system, "one", "r1"), Lock(system, "two", "r2")
    first.acquire(lambda h: None)
    os.utime(first.path, (0, 0))  # as after a jump of the wall clock by years
    with pytest.raises(Held, match="held by one"):
        second.acquire(lambda h: pytest.fail("taken for stale"))
    first.release()
    second.acquire(lambda h: None)
    first.beat()  # late, and harmless
    second.release()


def test_a_silent_holder_is_waited_for_until_it_ends(system):
    first, second = Lock(system, "one", "r1"), Lock(system, "two", "r2")
    first.acquire(lambda h: None)
    note = json.dumps({"by": "one"}).encode()
    os.ftruncate(first.fd, 0)
    os.pwrite(first.fd, b"%020.3f\n" % (time.monotonic() - 60) + note, 0)
    waited = []

    def on_wait(holder):
        waited.append(holder["by"])
        threading.Timer(0.3, first.release).start()

    second.acquire(on_wait)
    assert waited == ["one"]
    second.release()


def test_nobody_waits_for_a_lock_that_nobody_wants_any_more(system):
    first, second = Lock(system, "one", "r1"), Lock(system, "two", "r2")
    first.acquire(lambda h: None)
    os.pwrite(first.fd, b"%020.3f\n" % (time.monotonic() - 60), 0)
    with pytest.raises(Held):
        second.acquire(lambda h: None, gone=lambda: True)


# -- link


def pipe_link():
    out, into = os.pipe()
    written = []
    return Link(open(out, "rb").read, written.append), open(into, "wb", 0), written


def test_contents_do_not_pile_up(system):
    from swarmops.delivery import ship

    link, into, _ = pipe_link()
    data = os.urandom(1 << 20)
    into.write(ship.content_frame(sha(data), data))
    assert link.content(sha(data)) == data and not link._contents
    system.link = link
    into.write(ship.content_frame(sha(data), data))
    assert system.content(sha(data)) == data
    assert sha(data) not in system.memo("asked", set) and not system.has_content(sha(data))
    into.close()


def test_a_large_frame_that_comes_slowly_is_a_sign_of_life():
    link, into, _ = pipe_link()
    into.write(b"%08x" % (1 << 20))
    link.heard = time.monotonic() - 100
    into.write(b"c" + b"0" * 200_000)
    deadline = time.monotonic() + 5
    while link.gone and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not link.gone
    into.close()


def test_a_blocked_writer_does_not_make_us_deaf():
    """While the main thread waits for the controller to read, its beats are heard and nobody is given up."""
    link, into, _ = pipe_link()
    with link._lock:  # as a writer that is stuck
        link.heard = time.monotonic() - 100
        for _ in range(3):
            into.write(wire.frame(b"h"))
        deadline = time.monotonic() + 5
        while link.gone and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not link.gone
    into.close()


def test_a_frame_that_is_none_ends_the_wait():
    link, into, _ = pipe_link()
    into.write(b"no frame")
    assert link.content("0" * 64) is None and link.gone


def test_a_controller_that_reads_nothing_is_given_up(monkeypatch):
    from swarmops.target import link

    monkeypatch.setattr(link, "SILENCE", 0.3)
    out, into = os.pipe()
    with pytest.raises(OSError, match="nobody reads"):
        link._write_all(into, b"x" * (1 << 20))
    os.close(out)
    os.close(into)


def test_a_50_mb_content_lands_whole(here, tmp_path):
    big = os.urandom(1 << 20) * 50
    assert statuses(here.play([landed("r", tmp_path / "big", big)], {sha(big): big})) == {"r/big": "changed"}
    assert (tmp_path / "big").stat().st_size == 50 << 20


# -- the bootstrap


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox", "zsh", "csh", "tcsh", "fish"])
def test_the_command_means_the_same_to_every_login_shell(shell, tmp_path, monkeypatch):
    """What sshd does: SHELL -c COMMAND."""
    from swarmops.delivery import ship

    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not installed")
    argv = [found, "sh", "-c"] if shell == "busybox" else [found, "-c"]
    child = subprocess.Popen(
        [*argv, ship.command(sys.executable, False)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    frame = (
        ship.envelope_frame({"mode": "facts", "host": "h", "run": "r1", "state": str(tmp_path)}) + ship.engine_frame()
    )
    child.stdin.write(frame)
    child.stdin.flush()  # and it stays open: who hangs up is answered nothing
    said = [line for line, _ in zip(child.stdout, range(4))]
    child.stdin.close()
    child.wait(20)
    assert wire.SENTINEL.encode() in said[1] and b'"facts"' in said[2], said


def test_an_old_python_says_so(tmp_path):
    from swarmops.delivery import ship

    assert '"' not in ship.BOOTSTRAP and "\\" not in ship.BOOTSTRAP
    program = ship.BOOTSTRAP % {"id": "x", "sentinel": wire.SENTINEL, "state": ""}
    old = f"import sys;sys.version_info=(3,6,9);exec({program!r})"
    done = subprocess.run([sys.executable, "-c", old], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 96 and done.stdout == b"\nswarmops-1 old 3.6\n"
