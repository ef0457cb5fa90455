"""Sockets with a deadline, for probes."""

import errno
import os
import select
import socket
import time

HEDGE = 0.1  # seconds after which one more connection is tried beside the first, for links that lose packets
WORDS: dict = {
    errno.ECONNREFUSED: "refused the connection",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ECONNRESET: "reset the connection",
    errno.EPERM: "a firewall here forbids it",
    errno.ETIMEDOUT: "no answer",
}


class Down(OSError):
    """What was looked at is down. Its text is the whole detail."""


class Unknown(Exception):
    """It cannot be told how things are: the check lacks a file or a right. Its text is the whole detail."""

    ok = None


LATE = (TimeoutError, socket.timeout)  # two classes before Python 3.10


def left(deadline, what="no answer"):
    """Seconds to the deadline; raises TimeoutError(what) when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0.001:
        raise TimeoutError(what)
    return seconds


def place(host, port):
    return "[%s]:%s" % (host, port) if ":" in str(host) else "%s:%s" % (host, port)


def connect(host, port, deadline, hedge=HEDGE):
    """A connected TCP socket. Raises Down (refused, no route, name unknown) or TimeoutError, with words for people."""
    try:
        return dial(host, port, deadline, hedge)
    except LATE:
        raise TimeoutError("%s does not answer" % place(host, port))
    except socket.gaierror as e:
        raise Down("%s: the name does not resolve (%s)" % (host, e.strerror))
    except OSError as e:
        raise Down("%s: %s" % (place(host, port), WORDS.get(e.errno or 0) or e.strerror))


def dial(host, port, deadline, hedge=HEDGE):
    """A connected TCP socket, as `socket.create_connection` gives and with what it raises.

    A lost SYN is repeated by the kernel only after a second, so after `hedge` seconds another attempt starts
    beside the first, and the first to be accepted wins: at 20 % loss a living host is not called down (F15).
    """
    found = socket.getaddrinfo(str(host), int(port), type=socket.SOCK_STREAM)
    trying, again = select.poll(), 0.0
    socks: dict = {}
    refusals: list = []
    try:
        while len(refusals) < len(found):
            seconds = left(deadline)
            if time.monotonic() >= again or not socks:
                sock, why = _start(found[(len(socks) + len(refusals)) % len(found)])
                again = time.monotonic() + hedge
                if why:
                    refusals.append(why)
                    continue
                socks[sock.fileno()] = sock
                trying.register(sock, select.POLLOUT)
            for fd, _ in trying.poll(1000 * max(0.0, min(seconds, again - time.monotonic()))):
                sock = socks.pop(fd)
                trying.unregister(fd)
                why = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not why:
                    sock.settimeout(left(deadline))
                    return sock
                sock.close()
                refusals.append(why)
        raise OSError(refusals[-1], os.strerror(refusals[-1]))
    finally:
        for sock in socks.values():
            sock.close()


def _start(found):
    """(socket on its way, 0), or (None, errno) when that is decided at once, as on loopback."""
    family, kind, protocol, _, address = found
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    why = sock.connect_ex(address)
    if why in (0, errno.EINPROGRESS):
        return sock, 0
    sock.close()
    return None, why


def unix(path, deadline):
    """A connected unix socket. Raises Down or TimeoutError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(left(deadline))
    try:
        sock.connect(path)
    except OSError as e:
        sock.close()
        if isinstance(e, LATE):
            raise TimeoutError("%s does not answer" % path)
        raise Down("%s: %s" % (path, WORDS.get(e.errno) or e.strerror))
    return sock


def tls(sock, args, deadline, verify=True):
    """`sock` wrapped in TLS as `args` say (host, server_name, ca or ca_pem, cert, key).

    Raises ssl.SSLCertVerificationError when the server's certificate is not trusted; Down or TimeoutError.
    """
    import ssl

    try:
        context = ssl.create_default_context(cafile=args.get("ca"), cadata=args.get("ca_pem") or None)
        if args.get("cert"):
            context.load_cert_chain(args["cert"], args.get("key") or args["cert"])
    except OSError as e:  # an SSLError too
        raise Unknown("cannot use the TLS files (ca, cert, key): %s" % (e.strerror or e))
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock.settimeout(left(deadline))
    try:
        return context.wrap_socket(sock, server_hostname=args.get("server_name") or str(args["host"]))
    except ssl.SSLCertVerificationError:
        raise
    except LATE:
        raise TimeoutError("%s does not end the TLS handshake" % args["host"])
    except OSError as e:
        why = getattr(e, "reason", None) or WORDS.get(e.errno) or e.strerror or e
        raise Down("%s: TLS handshake failed: %s" % (args["host"], why))
