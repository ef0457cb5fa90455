"""How long a certificate still holds, in days (value): of a TLS port, or of a PEM `file` on the host.

On a port the chain and the name are verified too (`ca` names the CA, `verify: false` leaves it out). Without
limits of the check's own: warns below 21 days, critical below 7 (F43).
"""

import time

from swarmops.target.probes import _x509
from swarmops.target.probes._net import Unknown, connect, place, tls

ARGS = {
    "host": "text = 127.0.0.1",
    "port": "int",
    "file": "path",
    "server_name": "text",
    "ca": "path",
    "ca_pem": "text",
    "cert": "path",
    "key": "path",
    "verify": "bool = true",
}
SHORT = "port"
LIMITS = {"min": 7, "warn": {"min": 21}}


def probe(args, system, deadline):
    if args.get("file"):
        return judge(args["file"], _x509.validity(_read(args["file"])), None)
    if not args.get("port"):
        raise Unknown("give the check a port or a file")
    host = args.get("host") or "127.0.0.1"
    der, fault = _fetch(dict(args, host=host), deadline)
    return judge(place(host, args["port"]), _x509.validity(der), fault)


def judge(where, validity, fault):
    """The finding for a certificate that holds from and until these times (seconds since 1970)."""
    begins, ends = validity
    now = time.time()
    days = round((ends - now) / 86400.0, 2)
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ends))
    found = {"value": days, "unit": "d", "limits": LIMITS, "until": date}
    if now >= ends:
        return dict(found, ok=False, detail="the certificate of %s expired on %s" % (where, date))
    if now < begins:
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(begins))
        detail = "the certificate of %s holds only from %s; is this clock right?" % (where, date)
        return dict(found, ok=False, detail=detail)
    if fault:
        return dict(found, ok=False, detail="the certificate of %s is not trusted: %s" % (where, fault))
    return dict(found, ok=True, detail="the certificate of %s holds until %s" % (where, date))


def _fetch(args, deadline):
    """(certificate in DER, why it is not trusted or None). One that is not is fetched again for its date."""
    import ssl

    verify, fault = args.get("verify") is not False, None
    sock = connect(args["host"], args["port"], deadline)
    try:
        with tls(sock, args, deadline, verify) as wrapped:
            return wrapped.getpeercert(binary_form=True), None
    except ssl.SSLCertVerificationError as e:
        fault = e.verify_message
    finally:
        sock.close()
    sock = connect(args["host"], args["port"], deadline)
    try:
        with tls(sock, args, deadline, False) as wrapped:
            return wrapped.getpeercert(binary_form=True), fault
    finally:
        sock.close()


def _read(path):
    """The first certificate of a PEM file, in DER."""
    import binascii

    with open(path, encoding="ascii", errors="replace") as f:
        text = f.read(1 << 20)
    body = text.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
    try:
        der = binascii.a2b_base64(body)
    except binascii.Error:
        der = b""
    if not der:
        raise Unknown("%s holds no PEM certificate" % path)
    return der
