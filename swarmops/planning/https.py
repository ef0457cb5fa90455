"""TLS of a role's own door: a certificate by the deployment's CA, or one that the user gives.

Variables of such a role: `tls`, `ca`, `names`, and `certificate`, `certificate_key`, `authority` for the user's own.
"""

from __future__ import annotations

from typing import Any

from swarmops.model.secrets import Secret
from swarmops.planning.certificates import issued
from swarmops.planning.views import Context, HostView

LOOPBACK = "127.0.0.1"


def secured(context: Context) -> dict[str, Any]:
    """tls_cert, tls_key; tls_ca: whom callers trust ("": whom systems do); tls_name: by which name it is checked where
    it is asked by address ("": by the address). All of them empty without TLS. Raises ValueError in words for the user.
    """
    own, host = context.vars, context.host
    if not own["tls"]:
        return {"tls_cert": "", "tls_key": "", "tls_ca": "", "tls_name": ""}
    if own["certificate"]:
        return given(context)
    tunnel = [host.mesh_address, f"{host.name}.mesh"] if host.mesh_address else []
    known = [LOOPBACK, host.address, *tunnel, host.name, "localhost", *own["names"]]
    made = issued(context.store, own["ca"], f"{context.role} {host.name}", known)
    return {**made, "tls_name": ""}


def given(context: Context) -> dict[str, Any]:
    """The user's own certificate. Its key must fit, and one of `names` be a name of it: by that name it is checked."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    own = context.vars
    chain, key, authority = (_text(own[name]) for name in ("certificate", "certificate_key", "authority"))
    try:
        found = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError:
        raise ValueError("certificate is no certificate in PEM") from None
    try:
        private: Any = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        hint = f"{context.role}_certificate_key: {{secret: {context.role}.key}}"
        raise ValueError(f"certificate_key is no private key in PEM without a passphrase ({hint})") from None
    if private.public_key() != found.public_key():
        raise ValueError("certificate_key is not the key of certificate")
    if authority:
        try:
            x509.load_pem_x509_certificates(authority.encode())
        except ValueError:
            raise ValueError("authority is no certificate in PEM") from None
    covered = _names(found)
    if not any(_covers(name, covered) for name in own["names"]):
        raise ValueError(f"certificate is for {', '.join(covered) or 'no name'}: put one of them into names")
    made = {"tls_cert": chain, "tls_key": Secret(f"{context.role}.key", key), "tls_ca": authority}
    return {**made, "tls_name": next(name for name in own["names"] if _covers(name, covered))}


def checked_as(host: HostView, role: str) -> str:
    """tls_name of another host, of what is declared there alone (two hosts may watch each other)."""
    from cryptography import x509

    own: Any = host.vars
    if not own[f"{role}_tls"] or not (text := _text(own[f"{role}_certificate"])):
        return ""
    try:
        covered = _names(x509.load_pem_x509_certificates(text.encode())[0])
    except ValueError:
        return ""  # that host's own plan says so
    return next((name for name in own[f"{role}_names"] if _covers(name, covered)), "")


def _text(value: Any) -> str:
    return str(value.open() if hasattr(value, "open") else value or "").strip()


def _names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def _covers(name: str, covered: list[str]) -> bool:
    """As a caller judges it: `*` stands for one whole label."""
    star = "*." + name.partition(".")[2]
    return any(one.lower() in (name.lower(), star.lower()) for one in covered)
