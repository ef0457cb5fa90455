"""S0-16: TLS with our CA works; a certificate that is not good is refused, and said so within the timeout."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarmops.runtime import AsyncRuntime, Runtime, Settings
from swarmops.runtime.errors import Unavailable
from swarmops.runtime.op import Op
from tests.runtime.server import Server, free_port

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, address: str, by: Pair | None = None, days: int = 1) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    return made, key


def keep(folder: Path, name: str, pair: Pair) -> tuple[str, str]:
    pem = serialization.Encoding.PEM
    (folder / f"{name}.crt").write_bytes(pair[0].public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / f"{name}.key").write_bytes(pair[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(folder / f"{name}.crt"), str(folder / f"{name}.key")


class Secured:
    """A server that speaks TLS only, with the certificate given; and settings of a client that trusts `ca`."""

    def __init__(self, make: Callable[..., Server], folder: Path, address: str = "127.0.0.1", days: int = 1):
        ca = certificate("ca", "127.0.0.1")
        self.ca, _ = keep(folder, "ca", ca)
        crt, key = keep(folder, "redis", certificate("redis", address, ca, days))
        self.cert, self.key = keep(folder, "client", certificate("client", "127.0.0.1", ca))
        port = free_port()
        tls = ("--tls-port", str(port), "--tls-cert-file", crt, "--tls-key-file", key, "--tls-ca-cert-file", self.ca)
        make(*tls, "--save", "")
        self.settings = Settings(port=port, tls=True, ca=self.ca, cert=self.cert, key=self.key)


def ping(settings: Settings) -> object:
    with Runtime(settings) as rt:
        return rt.run(Op("", ("x",), ("PING",)))


def why(settings: Settings) -> Unavailable:
    with pytest.raises(Unavailable) as e, Runtime(settings) as rt:
        rt.connect()
    return e.value


def test_tls_with_our_ca(own_server: Callable[..., Server], tmp_path: Path) -> None:
    secured = Secured(own_server, tmp_path)
    assert ping(secured.settings) == b"PONG"

    async def asynchronously() -> object:
        async with AsyncRuntime(secured.settings) as art:
            return await art.run(Op("", ("x",), ("PING",)))

    assert asyncio.run(asynchronously()) == b"PONG"
    other, _ = keep(tmp_path, "other", certificate("other", "127.0.0.1"))
    assert why(secured.settings.but(ca=other)).kind == "certificate"
    assert why(secured.settings.but(cert="", key="")).kind in ("tls", "closed")
    assert why(secured.settings.but(tls=False)).kind in ("tls", "closed")


@pytest.mark.parametrize(("address", "days"), [("127.0.0.9", 1), ("127.0.0.1", -1)], ids=["another host's", "expired"])
def test_a_certificate_that_is_not_good(
    own_server: Callable[..., Server], tmp_path: Path, address: str, days: int
) -> None:
    said = why(Secured(own_server, tmp_path, address, days).settings)
    assert said.kind == "certificate" and "certificate is not good" in str(said)
