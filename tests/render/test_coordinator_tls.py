"""The role coordinator with TLS: the files of its host, who learns of it, a certificate of the user's own, the CA's
rotation; and what a process makes of the rendered files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from swarmops.model.authority import make_ca
from swarmops.model.faults import InputError
from swarmops.model.secrets import Store
from swarmops.planning.certificates import public_part
from tests.render.test_services import DECLARED, ONE_EACH, Planned, plan

__all__ = ["plan"]  # the fixture
FOLDER = "/etc/swarmops"
ON = {"services": {**DECLARED["services"], "coordinator": {"tls": True}}}
TWO = {**ONE_EACH, "coordinator": {"coordinator-1": "10.99.0.21", "coordinator-2": "10.99.0.31"}}


def services(**coordinator: Any) -> dict[str, Any]:
    return {"services": {**DECLARED["services"], "coordinator": {"tls": True, **coordinator}}}


def names(made: Planned, host: str = "coordinator-1") -> set[str]:
    found = x509.load_pem_x509_certificate(made.text(host, f"{FOLDER}/coordinator.crt").encode())
    known = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*known.get_values_for_type(x509.DNSName), *map(str, known.get_values_for_type(x509.IPAddress))}


def checks(made: Planned, host: str) -> dict[str, dict[str, Any]]:
    plan = made.plans[host]
    return {c["name"]: c["args"] for c in plan.checks if c["id"].startswith("coordinator/")}


def test_it_is_off_unless_asked_for_and_follows_security_tls(plan) -> None:
    off = plan()
    assert "tls" not in off.json("coordinator-1", "coordinator")
    assert not [f for f in off.plans["coordinator-1"].files if f.path.endswith((".crt", ".key"))]
    for sections in (ON, {"security": {"tls": True}}):
        told = plan(**sections).json("coordinator-1", "coordinator")
        assert told["tls"] == {"cert": "coordinator.crt", "key": "coordinator.key"}
        assert told["ca"] == "coordinator-ca.crt"
    spared = plan(security={"tls": True}, **services(tls=False))
    assert "tls" not in spared.json("coordinator-1", "coordinator")


def test_the_files_are_handed_over_and_the_key_is_a_secret(plan) -> None:
    made = plan(**ON)
    unit, files = made.unit("coordinator-1", "coordinator"), {f.path: f for f in made.plans["coordinator-1"].files}
    for name in ("coordinator.crt", "coordinator.key", "coordinator-ca.crt"):
        assert f"LoadCredential={name}:{FOLDER}/{name}" in unit and files[f"{FOLDER}/{name}"].mode == "0600"
    assert files[f"{FOLDER}/coordinator.key"].secret
    assert "PRIVATE" not in made.text("coordinator-1", f"{FOLDER}/coordinator-ca.crt")
    assert "coordinator.key" not in made.unit("frontend-1", "frontend")


def test_the_certificate_is_for_all_by_which_it_may_be_asked(plan) -> None:
    made = plan(**services(names=["swarm.example"]))
    assert names(made) == {"127.0.0.1", "10.99.0.21", "coordinator-1", "localhost", "swarm.example"}
    assert {*made.json("coordinator-1", "coordinator")["hosts"]} == names(made)


def test_all_who_ask_it_say_https_and_trust_our_ca(plan) -> None:
    made = plan(TWO, **ON)
    told = made.json("coordinator-1", "coordinator")
    urls = {s["name"]: s["url"] for s in told["services"]}
    assert urls["coordinator-1"] == "https://127.0.0.1:8002/api/health"
    assert urls["coordinator-2"] == "https://10.99.0.31:8002/api/health"
    assert urls["npu-1"].startswith("http://") and told["origins"][0] == "http://10.99.0.22:5173"
    assert made.json("frontend-1", "frontend")["coordinator"] == "https://10.99.0.21:8002"
    ca = public_part(Store.at(None, "small").get("tls.ca").open()).strip()
    looks = checks(made, "coordinator-1")
    assert looks["coordinator answers"]["url"] == "https://127.0.0.1:8002/api/health"
    for name in ("coordinator answers", "certificate holds", "coordinator can be reached"):
        assert looks[name]["ca_pem"].strip() == ca, name
    assert looks["coordinator can be reached"]["url"] == "https://10.99.0.21:8002/api/health"


def test_while_the_ca_is_rotated_both_are_trusted_and_the_old_one_signs(plan) -> None:
    store = Store.at(None, "small")
    first = plan(**ON)
    old = first.text("coordinator-1", f"{FOLDER}/coordinator.crt")
    store.rotate("tls.ca")
    during = plan(**ON)
    assert during.text("coordinator-1", f"{FOLDER}/coordinator.crt") == old
    assert during.text("coordinator-1", f"{FOLDER}/coordinator-ca.crt").count("BEGIN CERTIFICATE") == 2
    store.finish("tls.ca")
    after = plan(**ON)
    assert after.text("coordinator-1", f"{FOLDER}/coordinator.crt") != old
    assert after.text("coordinator-1", f"{FOLDER}/coordinator-ca.crt").count("BEGIN CERTIFICATE") == 1


# -- a certificate of the user's own


def own(*known: str) -> dict[str, str]:
    """Self-signed for these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=90))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in known]), critical=False)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return {
        "certificate": made.sign(key, hashes.SHA256()).public_bytes(pem).decode(),
        "key": key.private_bytes(pem, form, serialization.NoEncryption()).decode(),
    }


def given(made: dict[str, str], key: str = "", **more: Any) -> dict[str, Any]:
    Store.at(None, "small").set("coordinator.key", key or made["key"])
    secret = {"certificate_key": {"secret": "coordinator.key"}}
    return services(certificate=made["certificate"], **secret, **more)


def test_a_certificate_of_ones_own_is_served_and_checked_by_its_name(plan) -> None:
    mine = own("*.swarm.example")
    made = plan(TWO, **given(mine, names=["10.0.0.1", "api.swarm.example"]))
    assert made.text("coordinator-1", f"{FOLDER}/coordinator.crt").strip() == mine["certificate"].strip()
    assert made.text("coordinator-1", f"{FOLDER}/coordinator.key").strip() == mine["key"].strip()
    told = made.json("coordinator-1", "coordinator")
    assert "ca" not in told, "it is the systems' business whom they trust"
    assert {s.get("server_name") for s in told["services"] if s["role"] == "coordinator"} == {"api.swarm.example"}
    assert made.json("frontend-1", "frontend")["coordinator"] == "https://api.swarm.example:8002"
    looks = checks(made, "coordinator-1")
    assert {a["server_name"] for n, a in looks.items() if "server_name" in a} == {"api.swarm.example"}
    with_authority = plan(**given(mine, names=["api.swarm.example"], authority=public_part(make_ca("corporate"))))
    assert with_authority.json("coordinator-1", "coordinator")["ca"] == "coordinator-ca.crt"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"certificate": "nonsense"}, "certificate is no certificate in PEM"),
        (
            {"key": "nonsense, nonsense, nonsense"},
            "no private key in PEM without a passphrase (coordinator_",
        ),
        ({"key": own("x")["key"]}, "certificate_key is not the key of certificate"),
        ({"names": ["swarm.example", "a.b.swarm.example"]}, "certificate is for *.swarm.example: put one of them into"),
        ({"authority": "nonsense"}, "authority is no certificate in PEM"),
    ],
)
def test_what_is_wrong_with_it_is_said_before_any_host(plan, wrong: dict[str, Any], said: str) -> None:
    mine = {**own("*.swarm.example"), **{k: v for k, v in wrong.items() if k == "certificate"}}
    more = {k: v for k, v in {"names": ["api.swarm.example"], **wrong}.items() if k in ("names", "authority")}
    with pytest.raises(InputError) as refused:
        plan(**given(mine, wrong.get("key", ""), **more))
    lines = refused.value.lines()
    assert any(said in line for line in lines), lines
    assert not any("PRIVATE" in line for line in lines)


def test_addresses_of_the_model_are_https_too(plan, tmp_path) -> None:
    from swarmops.cli._publish import coordinator
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project
    from swarmops.operate.status import urls

    def project(**sections: Any) -> Project:
        plan(**sections)
        return Project.open(tmp_path, None, Faults())

    def all_of(found: Project) -> tuple[str, str, str]:
        (row,) = [r for r in urls(found) if r["service"] == "coordinator"]
        return found.urls()["coordinator"][0], row["url"], coordinator(found)

    with_port = {"services": {**DECLARED["services"], "coordinator": {"port": 8002}}}
    assert set(all_of(project(**with_port))) == {"http://10.99.0.21:8002"}
    assert set(all_of(project(security={"tls": True}, **with_port))) == {"https://10.99.0.21:8002"}
    assert set(all_of(project(**services(port=8002)))) == {"https://10.99.0.21:8002"}
    mine = given(own("swarm.example"), port=8002, names=["swarm.example"])
    assert all_of(project(**mine))[1:] == ("https://swarm.example:8002",) * 2
