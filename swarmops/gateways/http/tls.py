"""TLS of the API: the certificate that it shows, and those that it trusts where it looks at services."""

from __future__ import annotations

import ssl

from swarmops.gateways.http.config import Config
from swarmops.runtime.errors import Invalid


def served(config: Config) -> ssl.SSLContext | None:
    """None without `tls`. Raises Invalid for files that are no certificate with its key."""
    if config.tls is None:
        return None
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        found.load_cert_chain(*config.tls, password="")  # one with a passphrase fails, and asks nobody
    except OSError as e:
        raise Invalid("tls", f"{config.tls[0]} and {config.tls[1]}: {e.strerror or e}") from None
    return found


def trusted(config: Config) -> ssl.SSLContext | None:
    """The system's certificates and those of `ca`. None without `ca`. Raises Invalid for a file that holds none."""
    if config.ca is None:
        return None
    found = ssl.create_default_context()
    try:
        found.load_verify_locations(config.ca)
    except OSError as e:
        raise Invalid("ca", f"{config.ca}: {e.strerror or e}") from None
    return found
