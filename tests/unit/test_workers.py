"""The parts of the worker process that need nothing running: configuration, options, folders, output, metrics."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from swarmops.runtime.errors import Invalid
from swarmops.runtime.observe.prometheus import Page
from swarmops.workers.browser.asked import Bounds, asked
from swarmops.workers.browser.policy import place
from swarmops.workers.config import BadConfig, Config, default, read, with_options
from swarmops.workers.finding import known_roles
from swarmops.workers.reading import Fields
from swarmops.workers.shell.commands import rules_of
from swarmops.workers.shell.folders import Folders, write_result
from swarmops.workers.shell.run import Stream


def test_roles_are_found_by_their_files() -> None:
    assert known_roles() == ["ai", "browser", "npu", "shell"]


def test_without_a_file_a_role_is_on_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    found = default(["browser"])
    assert (found.bind, found.port, found.tokens) == (
        ("127.0.0.1",),
        3000,
        None,
    ) and found.url == "http://127.0.0.1:3000"
    assert found.home == tmp_path / "swarmops/workers/browser" and found.name.endswith("-browser")
    with pytest.raises(BadConfig, match="--bind: without tokens it may listen on loopback only"):
        with_options(found, bind=("0.0.0.0",))
    assert with_options(found, port=99, name=None, bind=()).port == 99


def test_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("[]")
    file = tmp_path / "w.json"
    said = {"role": ["npu", "ai"], "home": "state", "tokens": "tokens.json", "bind": ["127.0.0.1", "10.77.0.22"]}
    file.write_text(json.dumps(said | {"options": {"npu": {"device": "CPU"}}}))
    found = read(file)
    assert found.home == tmp_path / "state" and found.tokens == tmp_path / "tokens.json" and found.source == str(file)
    assert found.url == "http://10.77.0.22:8081" and found.roles == ("npu", "ai")
    assert found.options_of("npu") == {"device": "CPU"} and found.options_of("ai") == {}
    file.write_text(json.dumps(said | {"options": {"device": "CPU"}, "tokens": "no.json"}))
    with pytest.raises(BadConfig) as e:
        read(file)
    assert len(e.value.faults) == 2 and "options are by role" in str(e.value) and "cannot be read" in str(e.value)
    for text, why in (("[]", "is not a JSON object"), ("{", "is not JSON"), ("{}", "role: is not said")):
        file.write_text(text)
        with pytest.raises(BadConfig, match=why):
            read(file)


def test_an_address_of_ipv6_is_bracketed() -> None:
    assert Config(("ai",), "x", Path("/x"), bind=("fd00::1",), port=1).url == "http://[fd00::1]:1"


def test_fields_collect_all_mistakes() -> None:
    faults: list[str] = []
    fields = Fields({"n": "x", "flag": 1, "list": ["a", 3], "inner": {"m": -1}, "typo": 1}, "options", faults)
    assert fields.number("n", 5, 0, 10) == 5 and fields.flag("flag", True) and fields.texts("list") == ()
    assert fields.inner("inner").whole("m", 7, 0, 9) == 7 and fields.text("absent", "here") == "here"
    fields.need("missing")
    fields.end()
    assert faults == [
        "options.n: 'x' is not a number from 0 to 10",
        "options.flag: '1' is neither true nor false",
        "options.list[1]: '3' is not text",
        "options.inner.m: '-1' is not a number from 0 to 9",
        "options.missing: is missing",
        "options.typo: is not known (known: absent, flag, inner, list, missing, n)",
    ]


def test_arguments_of_commands_fit_or_are_refused(tmp_path: Path) -> None:
    faults: list[str] = []
    some = {"argv": ["cat"], "args": True}
    rules = rules_of({"commands": {"any": some, "none": {"argv": ["cat"]}}}, tmp_path, faults)
    assert not faults
    rules.commands["any"].given(("a", "b c", "$(x)"), faults)
    assert not faults
    rules.commands["any"].given(("--delete",), faults)
    rules.commands["none"].given(("x",), faults)
    assert faults == ["args[0]: '--delete' does not fit '[^-].*'", "args: none takes none, these are 1"]


def test_folders_go_when_they_are_old_or_too_many(tmp_path: Path) -> None:
    folders = Folders(tmp_path, keep=100, most=2)
    folders.prepare()
    for i in range(4):
        with folders.folder(f"t{i}", 1) as place_:
            write_result(place_, {"n": i})
            assert folders.sweep() <= 1 and place_.exists()
        os.utime(place_, (time.time() - 10 + i,) * 2)
    folders.sweep()
    assert sorted(p.name for p in folders.home.iterdir()) == ["t2-1", "t3-1"]
    assert json.loads((folders.home / "t3-1/result.json").read_text()) == {"n": 3}
    os.utime(folders.home / "t3-1", (1, 1))
    assert folders.sweep() == 1


def test_results_are_plain_files_within_the_folder(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.prepare()
    with folders.folder("t", 1) as place_:
        work = place_ / "work"
        (work / "good.txt").write_text("yes")
        (work / "big.txt").write_text("x" * 100)
        (work / "link.txt").symlink_to("/etc/hostname")
        os.link(work / "big.txt", work / "hard.txt")
        (work / "sub").symlink_to("/etc")
        os.mkfifo(work / "pipe.txt")
        found = folders.results(place_, ("*.txt", "sub/hostname"), 50, 50)
    assert found == {"good.txt": b"yes"}


def test_the_tail_of_output_begins_with_a_whole_character() -> None:
    stream = Stream(10)
    stream.take("ääääää".encode())
    assert stream.truncated and stream.size == 12 and len(stream.kept) == 10
    assert stream.tail(3) == "ä" and stream.tail(100) == "äääää"


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "http://a:b@c/", "http://x:99999/", "x", "http://[::1", "HTTPS:"]
)
def test_what_is_no_url_of_a_page(url: str) -> None:
    with pytest.raises(Invalid):
        place(url)


def test_urls_of_pages() -> None:
    assert place("https://Example.com/x?y") == ("example.com", 443) and place("http://[::1]:81/") == ("::1", 81)


def test_tasks_of_the_browser_say_all_their_mistakes() -> None:
    with pytest.raises(Invalid) as e:
        asked(
            "extract",
            {"url": "x", "html": "y", "selectors": {"a": {"css": "", "x": 1}, "b": 3}, "timeout": 999},
            Bounds(),
        )
    for part in ("url: 'x' is not http", "html: goes without url", "selectors.a: 'x' is not known", "timeout: '999'"):
        assert part in str(e.value)
    found = asked("fetch", {"url": "http://a/"}, Bounds(timeout=5))
    assert found.timeout == 5 and found.wait == "load"


def test_measures_of_executors_are_metrics() -> None:
    page = Page("swarmops")
    page.measured('npu_infer_ms{device="CPU"}', 1.5)
    page.measured("browser_launches_total", 2)
    page.measured("not a name", 2)
    assert page.text() == (
        "# TYPE swarmops_browser_launches_total counter\nswarmops_browser_launches_total 2\n"
        '# TYPE swarmops_npu_infer_ms gauge\nswarmops_npu_infer_ms{device="CPU"} 1.5\n'
    )
