"""The OpenAPI document against the program: thousands of requests that fit it, or just do not, and no surprise.

What is documented is what is answered: no 500, no undocumented status, no body of another shape, nothing taken that the
document forbids, nothing open that it says is not. All routes are in it, whoever wrote them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.runtime.server import Server
from tests.services.api import client
from tests.services.coordinator import Coordinator

STREAMS = ["/api/events"]  # endless by design; tested by themselves
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "allow_header_conformance",
    "ignored_auth",
]
# A question for work that waits 25 s unless it says otherwise: here it always does.
SETTINGS = """
headers = {{ Authorization = "Bearer {token}" }}

[[operations]]
include-path = "/api/tasks/next"
parameters = {{ "query.wait" = 0.01 }}
"""


def test_the_document_and_the_program_agree(own_server: Callable[..., Server], tmp_path: Path) -> None:
    api = Coordinator(tmp_path, own_server(), limits={"rate": 0, "wait": 0.05})
    api.start()
    (tmp_path / "schemathesis.toml").write_text(SETTINGS.format(token=api.tokens["admin"]))
    program = Path(sys.executable).with_name("schemathesis")
    left_out = [word for path in STREAMS for word in ("--exclude-path", path)]
    said = subprocess.run(
        [str(program), "run", f"{api.url}/openapi.json", "--phases", "coverage,fuzzing", "-n", "2", *left_out,
         "--checks", ",".join(CHECKS), "--continue-on-failure", "--request-timeout", "20", "--workers", "1",
         "--seed", "4", "--warnings", "off", "--generation-database", "none"],
        capture_output=True, text=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout[-6000:] + said.stderr[-2000:]
    assert "Traceback" not in api.said, api.said[-4000:]
    with client(api) as ask:
        assert ask.get("/api/status").status_code == 200
    api.close()
