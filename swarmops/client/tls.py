"""TLS that always checks who answers, and in words what is wrong with it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
from pathlib import Path

UNKNOWN = (2, 18, 19, 20, 21)  # of OpenSSL: signed by nobody whom we know
DATES = (9, 10)  # not yet valid, expired
NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")
WITHIN = 2.0  # seconds to see whether somebody speaks TLS


def context(ca: str | ssl.SSLContext | None) -> ssl.SSLContext:
    """ca: a file of certificates to trust instead of the system's ($SSL_CERT_FILE names another one for these), or a
    context of the caller's own. Raises ValueError for a file that is not there or holds no certificates."""
    if isinstance(ca, ssl.SSLContext):
        return ca
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"ca: {ca} holds no certificates in PEM") from None
    except OSError as e:
        raise ValueError(f"ca: {ca}: {e.strerror or e}") from None


def mistaken(e: BaseException, host: str, port: int, secure: bool) -> str:
    """What waiting does not mend, as a sentence: a certificate that is not trusted, or https where http is spoken and
    the other way round. "" for all else."""
    if isinstance(e, ssl.SSLCertVerificationError):
        hint = _hint(e.verify_code)
        return f"its certificate is not trusted: {e.verify_message.rstrip('.')}{f' ({hint})' if hint else ''}"
    if isinstance(e, ssl.SSLError):
        return "it does not speak TLS there (is it http://?)" if e.reason in NO_TLS else ""
    if not secure and not isinstance(e, ConnectionRefusedError | TimeoutError) and _speaks_tls(host, port):
        return "it speaks TLS there (write https://)"
    return ""


def _hint(code: int) -> str:
    if code in DATES:
        return "is this clock right?"
    if code not in UNKNOWN:
        return ""
    named = os.environ.get("SSL_CERT_FILE", "")
    if named and not Path(named).is_file():
        return f"SSL_CERT_FILE is {named}, which is not there"
    return "ca= or SSL_CERT_FILE names a file of those who may sign it"


def _speaks_tls(host: str, port: int) -> bool:
    """Whether a handshake succeeds there. Nothing is sent afterwards, so it does not matter with whom."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, http.client.HTTPException):
        with socket.create_connection((host, port), WITHIN) as plain, anybody.wrap_socket(plain, server_hostname=host):
            return True
    return False
