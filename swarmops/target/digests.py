"""sha256 without OpenSSL, whose loading takes 3 ms of each run; large contents get OpenSSL's speed."""


def _lightest():
    for module in ("_sha2", "_sha256"):  # since Python 3.12, and before
        try:
            return __import__(module).sha256
        except (ImportError, AttributeError):
            pass
    import hashlib

    return hashlib.sha256


LARGE = 8 << 20  # bytes from which loading OpenSSL pays
small = _lightest()


def sha256(data=b"", size=0):
    """A sha256 object that has taken in `data`. `size`: bytes that are to come, as far as known."""
    if max(size, len(data)) < LARGE:
        return small(data)
    import hashlib

    return hashlib.sha256(data)
