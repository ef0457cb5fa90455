"""Every kind, played for real: check changes nothing, apply changes, apply again does not, drift is repaired.

A case is tests/kinds/<kind>/<case>.yaml:
  args       as in a role (defaults are filled in); /TMP is the case's folder, PORT a web server on it, PYTHON such
             as 3.13
  wheels     of a release, as if they had been sent: {name, members: [{name, content, mode}]}
  content    text of the file that the planner would have rendered
  files, before   what is there first: files by path, commands
  check, first, again   expected results (would, changed, ok)
  why, diff, out   expected words of a failure, of the diff, of the registered result
  drift      commands after which the third run repairs and the fourth is ok
  then       what must be so in the end: {path, type, mode, owner, content...} or {run, rc, says}
  where      lab: needs a whole host (systemd, apt); the rest runs here too, on a private /etc, /home and network
  fault      the planner's sentence: `want` refuses the arguments
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from swarmops.planning.kinds_spec import names, spec
from tests.conftest import lacking

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CASES = {f"{p.parent.name}/{p.stem}": yaml.safe_load(p.read_text()) for p in sorted(HERE.glob("*/*.yaml"))}
REAL = {n: c for n, c in CASES.items() if "fault" not in c}
LOCAL = {n: c for n, c in REAL.items() if c.get("where") != "lab"}


def ready(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """A case as the host sees it: every argument there, content as its sha256."""
    of = spec("kind", case.get("kind", name.split("/")[0]))
    given = case["args"]
    args = {key: arg.default for key, arg in of.args.items()}
    args.update({k: v if v == "PORT" else of.args[k].read(v) for k, v in given.items() if k in of.args})
    unknown = set(given) - set(of.args)
    assert not unknown, f"{name}: unknown arguments {unknown}"
    made = dict(case, kind=of.name, args={k: v for k, v in args.items() if k not in of.planner_only})
    contents = [case["content"]] if "content" in case else []
    if "archive" in case:
        contents = [archive(case["archive"]).decode("latin-1")]
    if "wheels" in case:
        made["sent"] = {}
        made["args"]["wheels"] = [sent(w, made["sent"]) for w in case["wheels"]]
    if contents:
        made["contents"] = contents
        made["args"]["content"] = hashlib.sha256(contents[0].encode("latin-1")).hexdigest()
    return made


def sent(wheel: dict[str, Any], all_sent: dict[str, str]) -> dict[str, Any]:
    """A wheel as a release's argument; its bytes are what comes when the host asks."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for m in wheel["members"]:
            info = zipfile.ZipInfo(m["name"])
            info.external_attr = int(m.get("mode", "100644"), 8) << 16
            made.writestr(info, m.get("content", ""))
    data = wheel.get("content", "").encode() or out.getvalue()
    sha = hashlib.sha256(data).hexdigest()
    all_sent[sha] = data.decode("latin-1")
    return {"name": wheel["name"], "sha256": sha, "size": len(data)}


def archive(members: list[dict[str, Any]]) -> bytes:
    """A tar.gz of the described members."""
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for m in members:
            info = tarfile.TarInfo(m["name"])
            data = m.get("content", "").encode()
            info.type = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE}.get(
                m.get("type", ""), tarfile.REGTYPE
            )
            info.mode, info.linkname, info.size = int(m.get("mode", "0644"), 8), m.get("to", ""), len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict[str, Any]:
    """All local cases, played in one process with its own /etc, /home, network and host name."""
    if os.geteuid() != 0:
        lacking("needs root: kinds act on users, owners and rule sets")
    top = tmp_path_factory.mktemp("kinds")
    top.chmod(0o755)
    asked = {"private": True, "cases": {n: ready(n, c) for n, c in LOCAL.items()}}
    argv = ["unshare", "--mount", "--uts", "--net", "--", sys.executable, str(HERE / "play.py"), str(top)]
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(argv, input=json.dumps(asked), capture_output=True, text=True, env=env, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", LOCAL)
def test_case(name: str, seen) -> None:
    judge(LOCAL[name], seen[name])


@pytest.fixture(scope="module")
def seen_on_host() -> Iterator[dict[str, Any]]:
    """All cases, played on a host of the lab that is ours alone."""
    from swarmops.delivery import ship
    from swarmops.lab.guest import Guest
    from swarmops.lab.lab import Lab
    from swarmops.lab.machine import LabError

    lab = Lab("kinds", [Guest("kinds-1", "10.77.31.10")])
    try:
        lab.up()
    except LabError as e:
        lacking(str(e))
    try:
        put(lab, "engine.zip", ship.bundle()[1])
        put(lab, "play.py", (HERE / "play.py").read_bytes())
        asked = {"bundle": "/root/kinds/engine.zip", "cases": {n: ready(n, c) for n, c in REAL.items()}}
        script = "cd /root/kinds && mkdir run && apt-get update -q >&2 && python3 play.py /root/kinds/run"
        argv = ["sh", "-c", script]
        done = lab.exec("kinds-1", argv, input=json.dumps(asked), timeout=280)
        assert done.stdout.startswith("{"), done.stderr
        yield json.loads(done.stdout)
    finally:
        lab.down()


def put(lab, name: str, data: bytes) -> None:
    text = base64.b64encode(data).decode()
    argv = ["sh", "-c", f"mkdir -p /root/kinds && base64 -d > /root/kinds/{name}"]
    assert lab.exec("kinds-1", argv, input=text).returncode == 0


@pytest.mark.infra
@pytest.mark.parametrize("name", REAL)
def test_case_on_a_host(name: str, seen_on_host) -> None:
    judge(REAL[name], seen_on_host[name])


def judge(case: dict[str, Any], seen: dict[str, Any]) -> None:
    assert "broken" not in seen, seen.get("broken")
    runs = seen["runs"]
    assert seen["moved"] == [], "check mode changed something"
    first = case.get("first", "failed" if "why" in case else "changed")
    assert runs[0]["s"] == first, runs[0]
    wanted = case.get("check", "would" if first in ("changed", "failed") else first)
    assert seen["check"]["s"] == wanted, seen["check"]
    if "why" in case:
        assert re.search(case["why"], runs[0]["why"]), runs[0]["why"]
    else:
        assert runs[1]["s"] == case.get("again", "ok"), runs[1]
    if "drift" in case:
        assert (runs[2]["s"], runs[3]["s"]) == ("changed", "ok"), runs[2:]
    if "diff" in case:
        assert case["diff"] in runs[0]["diff"], runs[0].get("diff")
    for key, value in case.get("out", {}).items():
        for run in runs[:2]:
            assert re.fullmatch(value, str(run["out"][key]), re.S), run.get("out")
    for look, is_so in zip(case.get("then", []), seen["then"], strict=True):
        for key, value in look.items():
            if key == "says":
                assert re.search(value, is_so["says"]), is_so
            elif key not in ("path", "run"):
                assert is_so[key] == value, (look, is_so)
        assert look.get("rc", 0) == is_so.get("rc", 0), is_so
    assert seen["left"] == [], "temporary files were left"


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if "fault" in c])
def test_want_refuses(name: str) -> None:
    case = CASES[name]
    made = ready(name, case)
    with pytest.raises(ValueError, match=case["fault"]):
        spec("kind", made["kind"]).module.want(made["args"])


@pytest.mark.parametrize("kind", names("kind"))
def test_kind_keeps_its_shape(kind: str) -> None:
    """Its ARGS parse, the four functions are there, it is short and has a case, and the page names every argument."""
    of = spec("kind", kind)
    module = of.module
    assert all(callable(getattr(module, f)) for f in ("want", "read", "fix"))
    assert module.__doc__ and len(Path(module.__file__).read_text().splitlines()) <= 150
    page = (ROOT / "docs" / "kinds.md").read_text()
    section = re.search(rf"^## {kind}$(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert section, f"docs/kinds.md has no section on {kind}"
    if kind not in ("package", "service"):
        assert (HERE / kind).is_dir(), f"no case for {kind}"
        missing = [a for a in of.args if not re.search(rf"`{a}[`:]", section[1])]
        assert not missing, f"docs/kinds.md does not name {missing} of {kind}"
