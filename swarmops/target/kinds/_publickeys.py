"""OpenSSH public keys as lines of authorized_keys."""

import base64

from swarmops.target.digests import sha256

TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def parse(line):
    """(options, type, blob, comment) of a line; None for a comment or what is no key."""
    words = _words(line.strip())
    options = "" if words and words[0] in TYPES else words.pop(0) if words else ""
    if options.startswith("#") or len(words) < 2 or words[0] not in TYPES or not _is_blob(*words[:2]):
        return None
    return options, words[0], words[1], " ".join(words[2:])


def name(options, kind, blob):
    """A key as people know it: options, type, fingerprint."""
    digest = base64.b64encode(sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
    return ("%s %s SHA256:%s" % (options, kind, digest)).strip()


def line(key, options, comment):
    """A line of authorized_keys; key is (type, blob)."""
    return " ".join(word for word in (options, *key, comment) if word)


def _words(text):
    """Words of a line; blanks within double quotes, as options hold them, do not part."""
    words, word, quoted, before = [], "", False, ""
    for c in text:
        if c == '"' and before != "\\":
            quoted = not quoted
        if c in " \t" and not quoted:
            words += [word] if word else []
            word = ""
        else:
            word += c
        before = c
    return words + ([word] if word else [])


def _is_blob(kind, blob):
    """Whether `blob` is base64 of a key that says itself that it is of this type."""
    try:
        data = base64.b64decode(blob, validate=True)
    except ValueError:
        return False
    return data[4 : 4 + len(kind)] == kind.encode() and int.from_bytes(data[:4], "big") == len(kind)
