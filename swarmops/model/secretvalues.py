"""What a secret's value should be: new ones are made here, and weak ones told (case 48)."""

from __future__ import annotations

import base64
import secrets as random

SAMPLES = (
    "changeme",
    "changethis",
    "strongpassword",
    "password",
    "letmein",
    "secretpassword",
    "example",
    "placeholder",
)
MIN_LENGTH = 16


def weak(value: str) -> str:
    """Why a value is no secret (case 48), without showing it; '' when it is fine."""
    letters = "".join(c for c in value.lower() if c.isalpha())
    if any(sample in letters for sample in SAMPLES) and len(letters) < 24:
        return "is a sample password that everybody knows"
    if len(value) < MIN_LENGTH:
        return f"has {len(value)} characters; {MIN_LENGTH} is the least"
    if len(set(value)) < 6:
        return f"has only {len(set(value))} different characters"
    return ""


def kind_of(name: str) -> str:
    """What a name stands for: 'age' (identity), 'ca' (key and certificate), 'key' (32 bytes) or 'password'."""
    if name.endswith(".identity"):
        return "age"
    if name.split(".")[-1] == "ca":
        return "ca"
    return "key" if name.split(".")[0] == "wireguard" else "password"


def generate(name: str, kind: str = "") -> str:
    """A new value with at least 256 bits of chance."""
    kind = kind or kind_of(name)
    if kind == "age":
        import pyrage

        return str(pyrage.x25519.Identity.generate())
    if kind == "key":
        return base64.b64encode(random.token_bytes(32)).decode()
    if kind == "ca":
        from swarmops.model.authority import make_ca

        return make_ca(name)
    return random.token_urlsafe(32)
