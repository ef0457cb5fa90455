"""Handlers in all orders: none is lost, none runs in vain, and a config that does not work is taken back."""

from __future__ import annotations

from swarmops.target import generations
from tests.target.harness import NEW, OLD, command, handler, landed, sha, statuses


def test_a_handler_due_before_a_failure_runs_in_the_next_deploy(here, tmp_path):
    conf, log, gate = landed("r", tmp_path / "conf", NEW), tmp_path / "log", tmp_path / "gate"
    restart = handler(tmp_path, ["/bin/sh", "-c", f"echo ran >> {log}"], [conf["id"]])
    between = command("r", "between", ["/bin/sh", "-c", f"test -e {gate}"])
    reports = here.play([conf, between, restart], {sha(NEW): NEW})
    assert statuses(reports) == {"r/conf": "changed", "r/between": "failed", "r/restart": "skipped"}
    gate.touch()
    assert statuses(here.play([conf, between, restart]))["r/restart"] == "changed"
    assert statuses(here.play([conf, between, restart]))["r/restart"] == "ok"
    assert log.read_text() == "ran\n"


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


def test_a_service_that_does_not_come_up_gets_its_old_config_back(here, tmp_path):
    """F30: also when the failing restart happens in a later run than the change."""
    conf, log = tmp_path / "conf", tmp_path / "log"
    restart = ["/bin/sh", "-c", f"cat {conf} >> {log}; grep -q 1 {conf}"]
    good, bad = landed("r", conf, OLD), landed("r", conf, NEW)
    assert (
        statuses(here.play([good, handler(tmp_path, restart, [good["id"]])], {sha(OLD): OLD}))["r/restart"] == "changed"
    )
    reports = here.play([bad, handler(tmp_path, restart, [bad["id"]])], {sha(NEW): NEW})
    assert reports["r/restart"]["s"] == "failed"
    assert "is back and running" in reports["r/restart"]["why"]
    assert conf.read_bytes() == OLD
    assert log.read_bytes() == OLD + NEW + OLD


def test_a_config_is_settled_only_when_its_last_handler_succeeded(here, tmp_path):
    """Restart says yes, the wait after it says no: the old config comes back and the restart runs with it."""
    conf, log = tmp_path / "conf", tmp_path / "log"

    def steps(step):
        restart = command("r", "restart", ["/bin/sh", "-c", f"cat {conf} >> {log}"], handler=True, watches=[step["id"]])
        wait = command("r", "wait", ["/bin/grep", "-q", "1", str(conf)], handler=True, watches=[step["id"]])
        return [step, restart, wait]

    assert here.play(steps(landed("r", conf, OLD)), {sha(OLD): OLD})["done"]["ok"]
    reports = here.play(steps(landed("r", conf, NEW)), {sha(NEW): NEW})
    assert reports["r/wait"]["s"] == "failed" and "is back and running" in reports["r/wait"]["why"]
    assert conf.read_bytes() == OLD and log.read_bytes() == OLD + NEW + OLD


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
