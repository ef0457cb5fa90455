"""The process that serves the page: its files and nothing else, with the headers that bind browsers."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from swarmops.gateways.page.app import make_app
from swarmops.gateways.page.config import Config
from swarmops.gateways.page.files import DIST, read_files
from swarmops.runtime.errors import Invalid
from tests.conftest import lacking
from tests.pages import options_of, swarmops_commands, verb_of
from tests.runtime.server import free_port
from tests.services.programs import ROOT, Program

COORDINATOR = "http://172.16.168.20:8002"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page as small as can be."""
    (tmp_path / "page/assets").mkdir(parents=True)
    (tmp_path / "page/index.html").write_text("<!doctype html><title>page</title>")
    (tmp_path / "page/assets/index-abc123.js").write_text("let answer = 42;\n" * 100)
    (tmp_path / "page/.hidden").write_text("no")
    (tmp_path / "secret.html").write_text("no")
    return tmp_path / "page"


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(make_app(COORDINATOR, read_files(folder)))


def test_files_are_kept_for_ever_and_the_index_is_asked_for_each_time(client: TestClient) -> None:
    script = client.get("/assets/index-abc123.js", headers={"Accept-Encoding": "identity"})
    assert script.status_code == 200 and script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in script.headers["cache-control"] and "content-encoding" not in script.headers
    index = client.get("/")
    assert index.headers["cache-control"] == "no-cache" and "<title>page" in index.text
    again = client.get("/", headers={"If-None-Match": index.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert client.head("/").status_code == 200


def test_what_is_sent_zipped_is_the_same(client: TestClient) -> None:
    with client.stream("GET", "/assets/index-abc123.js", headers={"Accept-Encoding": "gzip, br"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(raw) == b"let answer = 42;\n" * 100 and len(raw) < 200


@pytest.mark.parametrize(
    "path",
    ["/assets/", "/assets", "/assets/index-other.js", "/.hidden", "/../secret.html", "/%2e%2e/secret.html", "/a.map"],
)
def test_nothing_else_is_served_and_no_folder_is_listed(client: TestClient, path: str) -> None:
    answer = client.get(path)
    if path == "/assets":  # looks like an address within the page
        assert "<title>page" in answer.text
    else:
        assert answer.status_code == 404 and answer.text == "there is no such file\n"


def test_addresses_within_the_page_lead_to_it(client: TestClient) -> None:
    assert "<title>page" in client.get("/tasks").text
    assert client.post("/").status_code == 405


def test_every_answer_binds_the_browser(client: TestClient) -> None:
    for path in ("/", "/health", "/config.json", "/assets/index-abc123.js", "/nothing.js"):
        headers = client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert policy["connect-src"] == f"'self' {COORDINATOR}" and policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_health_and_configuration(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "role": "frontend"}
    config = client.get("/config.json")
    assert config.json() == {"coordinator": COORDINATOR} and config.headers["cache-control"] == "no-store"


def test_the_real_page_runs_no_script_of_its_own_html() -> None:
    """Scripts and styles are files, and all of them are named in the index: the policy allows nothing else."""
    if not (DIST / "index.html").is_file():
        lacking("the page is not built: scripts/page.sh")
    index = (DIST / "index.html").read_text()
    assert " style=" not in index and "<style" not in index and "<script>" not in index
    assert "http:" not in index and "https:" not in index
    assert sum(len(f.zipped or f.body) for f in read_files().values()) < 200_000


LIKE = "is not a URL like http://172.16.168.20:8002"


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"bind": "127.0.0.1"}, ["bind: '127.0.0.1' is not a list of addresses"]),
        (
            {"port": "5173", "ports": 1},
            ["ports: unknown (known: bind, port, coordinator)", "port: '5173' is not a port"],
        ),
        ({"coordinator": "172.16.168.20:8002"}, [f"coordinator: '172.16.168.20:8002' {LIKE}"]),
        ({"coordinator": "http://h:1/api"}, ["coordinator: 'http://h:1/api' has more than scheme, host and port"]),
        ({"coordinator": "http://h; script-src *"}, [f"coordinator: 'http://h; script-src *' {LIKE}"]),
    ],
)
def test_all_faults_of_a_configuration_are_told_at_once(said: dict[str, object], faults: list[str]) -> None:
    with pytest.raises(Invalid) as e:
        Config.of(said)
    assert e.value.lines() == faults


def test_the_command_tells_them_in_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "frontend.json"
    file.write_text('{"bindd": 1, "port": "x"}')
    said = subprocess.run(
        [sys.executable, "-m", "swarmops", "dashboard", "--config", str(file)], capture_output=True, text=True, cwd=ROOT
    )
    lines = [f"{file}: bindd: unknown (known: bind, port, coordinator)", f"{file}: port: 'x' is not a port"]
    assert said.returncode == 2 and said.stderr.splitlines() == lines


def test_commands_that_the_page_names_exist() -> None:
    seen = 0
    for file in sorted((ROOT / "frontend/src").rglob("*.vue")):
        for text in re.findall(r"<code>(swarmops .*?)</code>", file.read_text(), re.S):
            for words in swarmops_commands(text):
                command, verb, rest = verb_of(words)
                given = {word for word in rest if word.startswith("-")}
                assert given <= options_of(command), f"{file.name}: {verb} has no {given - options_of(command)}"
                seen += 1
    assert seen > 8


def test_a_page_that_is_not_built_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"^the page is not built: run scripts/page\.sh in the project's folder"):
        read_files(tmp_path)


def test_the_command_serves_until_it_is_told_to_end(programs: Callable[..., Program], tmp_path: Path) -> None:
    if not (DIST / "index.html").is_file():
        lacking("the page is not built: scripts/page.sh")
    port = free_port()
    file = tmp_path / "frontend.json"
    file.write_text(json.dumps({"bind": ["127.0.0.1"], "port": 1, "coordinator": COORDINATOR}))
    url = f"http://127.0.0.1:{port}"
    running = programs("dashboard", "--config", str(file), "--port", str(port), health=f"{url}/health")
    answer = httpx.get(f"{url}/config.json", trust_env=False)
    assert answer.json() == {"coordinator": COORDINATOR}
    taken = [sys.executable, "-m", "swarmops", "dashboard", "--port", str(port)]
    said = subprocess.run(taken, capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 1 and said.stderr.startswith(f"cannot listen on 127.0.0.1 port {port}: ")
    assert running.end() == 0
    assert running.said == f"dashboard on {url}, coordinator at {COORDINATOR}\n"


def test_a_wheel_contains_the_page(tmp_path: Path) -> None:
    if not (DIST / "index.html").is_file() or not shutil.which("sh"):
        lacking("the page is not built: scripts/page.sh")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    inside = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    page = [name for name in inside if name.startswith("swarmops/gateways/page/dist/")]
    assert any(name.endswith("/index.html") for name in page) and any(name.endswith(".js") for name in page)
    assert not [name for name in inside if "node_modules" in name or name.startswith("frontend")]
