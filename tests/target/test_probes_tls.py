"""The probe tls: certificates that end, of other names, of nobody known, and servers that speak none."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from pathlib import Path

import pytest

from swarmops.target.probes import _x509
from tests.target.looking import listener, look, silent


def certificate(folder: Path, name: str, begins: float, ends: float, ca=None):
    """A certificate that holds from and until so many days from now; (path, key path, (cert, key))."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(ca[0].subject if ca else subject)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now + datetime.timedelta(days=begins))
    made = made.not_valid_after(now + datetime.timedelta(days=ends))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    made = made.add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), True)
    if ca is None:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    else:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca[1].public_key())
        made = made.add_extension(identifier, False)
    signed = made.sign(ca[1] if ca else key, hashes.SHA256())
    cert_path, key_path = folder / f"{name}{ends}.crt", folder / f"{name}{ends}.key"
    cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_path, key_path, (signed, key)


@contextlib.contextmanager
def tls_listener(cert: Path, key: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def speak(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True).recv(1)

    with listener(speak) as port:
        yield port


@pytest.mark.parametrize(
    "begins, ends, ok, words",
    [
        (-1, 90, True, "holds until"),
        (-90, -1, False, "expired on"),
        (5, 90, False, "holds only from"),
    ],
)
def test_tls_port(tmp_path: Path, begins: float, ends: float, ok: bool, words: str) -> None:
    ca_path, _, ca = certificate(tmp_path, "ca", -100, 900)
    cert, key, _ = certificate(tmp_path, "redis-1", begins, ends, ca)
    with tls_listener(cert, key) as port:
        event = look("tls", port=port, server_name="redis-1", ca=str(ca_path))
    assert event["ok"] is ok and words in event["detail"]
    assert abs(event["value"] - ends) < 0.1
    if begins < 0:
        date = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=ends)).strftime("%Y-%m-%d")
        assert date in event["detail"]  # the message names the date (F43)


def test_tls_wrong_name_or_ca_is_told(tmp_path: Path) -> None:
    ca_path, _, ca = certificate(tmp_path, "ca", -100, 900)
    other_path, _, _ = certificate(tmp_path, "other", -100, 900)
    cert, key, _ = certificate(tmp_path, "redis-1", -1, 90, ca)
    with tls_listener(cert, key) as port:
        wrong = look("tls", port=port, server_name="redis-2", ca=str(ca_path))
        strange = look("tls", port=port, server_name="redis-1", ca=str(other_path))
        free = look("tls", port=port, server_name="redis-2", verify=False)
    assert wrong["ok"] is False and "not trusted" in wrong["detail"] and "redis-2" in wrong["detail"]
    assert strange["ok"] is False and "not trusted" in strange["detail"]
    assert free["ok"] is True


def test_tls_file_and_no_tls(tmp_path: Path) -> None:
    cert, _, _ = certificate(tmp_path, "x", -1, 3)
    event = look("tls", file=str(cert))
    assert event["ok"] and 2.9 < event["value"] < 3.1 and str(cert) in event["detail"]
    assert look("tls", file=str(tmp_path / "none.crt"))["ok"] is False
    (tmp_path / "junk.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert look("tls", file=str(tmp_path / "junk.crt"))["ok"] is None
    with listener(lambda c: c.sendall(b"hello\r\n")) as port:
        assert "TLS handshake failed" in look("tls", port=port)["detail"]
    with listener(silent) as port:
        assert look("tls", within=0.4, port=port)["timeout"]


def test_validity_agrees_with_cryptography(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    for ends in (1, 9000, 40000):  # the last ones are beyond 2049 and so in the other ASN.1 form
        _, _, (cert, _) = certificate(tmp_path, "y", -1, ends)
        begins_at, ends_at = _x509.validity(cert.public_bytes(Encoding.DER))
        assert begins_at == cert.not_valid_before_utc.timestamp()
        assert ends_at == cert.not_valid_after_utc.timestamp()
