"""From when until when a certificate holds, in a few lines of DER: Python's own parser is private."""

import calendar
import time

from swarmops.target.probes._net import Unknown


def validity(der):
    """(notBefore, notAfter) in seconds since 1970. Raises Unknown when it is no certificate."""
    try:
        whole = _inside(der, 0)[0]
        body = _inside(whole, 0)[0]
        at = 0
        if body[at] == 0xA0:  # the version, which is optional
            at = _inside(body, at)[1]
        for _ in range(3):  # serial number, signature algorithm, issuer
            at = _inside(body, at)[1]
        dates = _inside(body, at)[0]
        first, at = _inside(dates, 0)
        return _time(first), _time(_inside(dates, at)[0])
    except (IndexError, ValueError):
        raise Unknown("what it shows is not a certificate that can be read")


def _inside(data, at):
    """(content, offset after it) of the DER value at `at`."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        more = length & 0x7F
        length, start = int.from_bytes(data[start : start + more], "big"), start + more
    if start + length > len(data):
        raise IndexError
    return data[start : start + length], start + length


def _time(raw):
    """UTCTime (two-digit year, below 50 is 20xx) or GeneralizedTime."""
    text = raw.decode("ascii")
    if len(text) == 13:
        text = ("20" if text[:2] < "50" else "19") + text
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
