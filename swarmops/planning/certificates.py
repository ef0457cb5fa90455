"""Certificates of hosts, from the deployment's CA (the secret `tls.ca`, made by `swarmops secrets init`).

Planning is pure: the same CA and names give the same key and certificate, byte for byte. So the key is derived from
the CA's, the signature is RFC 6979's, and a certificate holds as long as its CA: rotating `tls.ca` renews all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from swarmops.model.secrets import Secret, Store

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the group of P-256
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)


def public_part(ca: str) -> str:
    """The CA's certificate without its key: what everybody may have."""
    return "\n".join(_BLOCK.findall(ca))


@lru_cache(maxsize=512)
def leaf(ca: str, name: str, alternatives: tuple[str, ...]) -> tuple[str, str]:
    """(key, certificate) in PEM for a host, for use as server and as client.

    `alternatives` are the addresses and names that a caller may know it by. Raises ValueError when `ca` is no CA.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root = x509.load_pem_x509_certificate(public_part(ca).encode())
    signer: Any = serialization.load_pem_private_key(ca.encode(), None)
    secret = signer.private_numbers().private_value.to_bytes(32, "big")
    label = "\0".join((name, *alternatives)).encode()
    key = ec.derive_private_key(_number(secret, b"key", label) % (_ORDER - 1) + 1, ec.SECP256R1())
    usages = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(_number(secret, b"serial", label) >> 360 | 1)
        .not_valid_before(root.not_valid_before_utc)
        .not_valid_after(root.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(alternatives)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), made.public_bytes(serialization.Encoding.PEM).decode()


def issued(store: Store, ca: Any, name: str, alternatives: Sequence[str]) -> dict[str, Any]:
    """tls_cert and tls_key of a host, and tls_ca, which it trusts. `ca`: the secret `tls.ca`.

    While the CA is being rotated, both are trusted, and the old one still signs: so a host that has not heard of the
    new one yet is not cut off.
    """
    before = store.previous("tls.ca")
    signer = before.open() if before else str(ca)
    key, certificate = leaf(signer, name, tuple(dict.fromkeys(n for n in alternatives if n)))
    trusted = [public_part(str(ca)), *([public_part(before.open())] if before else [])]
    return {"tls_ca": "\n".join(trusted), "tls_cert": certificate, "tls_key": Secret("tls.ca", key)}


def _number(secret: bytes, what: bytes, label: bytes) -> int:
    return int.from_bytes(hmac.new(secret, what + b"\0" + label, hashlib.sha512).digest(), "big")


def _alternatives(names: Sequence[str]) -> list[Any]:
    from cryptography import x509

    found: list[Any] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found
