"""A small Redis client: RESP2 over TCP, TLS or a unix socket, with a deadline on everything.

Used by the redis probe and the redis_dump source, on hosts and on the controller. Standard library only; the
password comes from a file, so it is never in argv, and it is in no exception.

    args = {"port": 6379, "user": "backup", "password_file": "/etc/redis/backup.pass"}
    with resp.connect(args, deadline=time.monotonic() + 2) as redis:
        redis.call("PING")            # 'PONG'; raises one of the errors below
        redis.info("persistence")     # {'rdb_bgsave_in_progress': '0', ...}

Deadlines are absolute, in seconds of `time.monotonic()`.
"""

import os
import socket
import time

MAX_BULK = 64 * 1024 * 1024  # bytes of one reply that are accepted
MAX_LINE = 64 * 1024
MAX_DEPTH = 8

# What a probe or source that talks to Redis takes, as an ARGS spec.
ARGS = {
    "host": "text = 127.0.0.1",
    "port": "int = 6379",
    "socket": "path",  # a unix socket; wins over host and port
    "user": "text",
    "password_file": "path",
    "tls": "bool = false",
    "ca": "path",  # the CA that signed the server's certificate
    "cert": "path",
    "key": "path",
    "server_name": "text",  # the name in the certificate, when it is not `host`
}


class RedisError(Exception):
    """Base of what can go wrong. `str()` is one sentence for the user."""


class Unreachable(RedisError):
    """No connection: refused, no route, no such socket, TLS handshake failed, or the server hung up."""


class TimedOut(RedisError):
    """The deadline passed before the answer."""


class AuthFailed(RedisError):
    """NOAUTH, WRONGPASS or NOPERM: no password, a wrong one, or a user that may not do this."""


class ReplyError(RedisError):
    """The server answered with an error. `code` is its first word: LOADING, MISCONF, OOM, ERR, ..."""

    def __init__(self, text):
        self.code = text.split(" ", 1)[0]
        RedisError.__init__(self, text)


class ProtocolError(RedisError):
    """What answers is not a Redis."""


def read_password(path):
    """First line of `path`, without its line end. Raises `AuthFailed`, naming the file, when that fails."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as e:
        raise AuthFailed("cannot read the password file %s: %s" % (path, getattr(e, "strerror", None) or "not UTF-8"))


def connect(args, deadline):
    """A `Client` for `args` (keys of `ARGS`; missing ones have their defaults), authenticated when a user or
    password file is named."""
    host, port, path = args.get("host") or "127.0.0.1", int(args.get("port") or 6379), args.get("socket")
    password = read_password(args["password_file"]) if args.get("password_file") else None
    where = path or ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)
    client = Client(_socket(host, port, path, args, where, deadline), where, deadline)
    try:
        if password is not None:
            words = ("AUTH", args["user"], password) if args.get("user") else ("AUTH", password)
            client.call(*words)
    except BaseException:
        client.close()
        raise
    return client


def _socket(host, port, path, args, where, deadline):
    sock = None
    reason: RedisError
    try:
        if path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(_left(deadline, where))
            sock.connect(path)
        else:
            sock = socket.create_connection((host, port), _left(deadline, where))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if args.get("tls") and not path:
            sock.settimeout(_left(deadline, where))
            sock = _tls(sock, args, args.get("server_name") or host)
        return sock
    except socket.timeout:
        reason = TimedOut("%s did not accept a connection in time" % where)
    except OSError as e:
        reason = Unreachable("cannot connect to %s: %s" % (where, _why(e)))
    except RedisError as e:
        reason = e
    if sock is not None:
        sock.close()
    raise reason


def _tls(sock, args, name):
    import ssl

    try:
        context = ssl.create_default_context(cafile=args.get("ca"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if args.get("cert"):
            context.load_cert_chain(args["cert"], args.get("key"))
    except (OSError, ssl.SSLError) as e:
        raise Unreachable("cannot use the TLS files (ca, cert, key): %s" % _why(e))
    return context.wrap_socket(sock, server_hostname=name)


def _why(error):
    return getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)


def _left(deadline, where):
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimedOut("%s did not answer in time" % where)
    return left


class Client:
    """One connection, not for two threads at once. After any error but `ReplyError` and `AuthFailed` it is
    closed, since what is left in the socket is unknown."""

    def __init__(self, sock, where, deadline):
        self.sock, self.where, self.deadline = sock, where, deadline
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def call(self, *words, **options):
        """The reply to one command: str, int, None or a list of these. Bulk replies are text with undecodable
        bytes escaped (surrogateescape), or bytes with `raw=True`. `deadline` replaces the connection's."""
        return self.many([words], **options)[0]

    def many(self, commands, deadline=None, raw=False):
        """The replies to commands sent in one go. The first error reply is raised after all are read."""
        deadline = self.deadline if deadline is None else deadline
        try:
            self._send(b"".join(_command(words) for words in commands), deadline)
            replies = [self._reply(deadline, raw, 0) for _ in commands]
        except socket.timeout:
            self.close()
            raise TimedOut("%s did not answer %s in time" % (self.where, commands[0][0]))
        except OSError as e:
            self.close()
            raise Unreachable("%s: the connection broke: %s" % (self.where, _why(e)))
        except RedisError:
            self.close()
            raise
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    def info(self, *sections, **options):
        """INFO as one dict of text to text; no section means Redis' default ones. Sections are asked for one
        by one, so this works on 6.2 too."""
        texts = self.many([("INFO", s) for s in sections] or [("INFO",)], **options)
        pairs = (line.split(":", 1) for text in texts for line in text.splitlines())
        return {p[0]: p[1] for p in pairs if len(p) == 2}

    def _send(self, data, deadline):
        self.sock.settimeout(_left(deadline, self.where))
        self.sock.sendall(data)

    def _fill(self, deadline):
        self.sock.settimeout(_left(deadline, self.where))
        chunk = self.sock.recv(65536)
        if not chunk:
            raise Unreachable("%s closed the connection" % self.where)
        self._buffer += chunk

    def _line(self, deadline):
        start = 0
        while True:
            end = self._buffer.find(b"\r\n", start)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                return line
            if len(self._buffer) > MAX_LINE:
                raise ProtocolError("%s does not speak Redis' protocol (a line over 64 KiB)" % self.where)
            start = max(0, len(self._buffer) - 1)
            self._fill(deadline)

    def _exact(self, n, deadline):
        while len(self._buffer) < n:
            self._fill(deadline)
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    def _reply(self, deadline, raw, depth):
        line = self._line(deadline)
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode("utf-8", "backslashreplace")
        if kind == b"-":
            return _error(rest.decode("utf-8", "backslashreplace"))
        if kind in (b":", b"$", b"*"):
            try:
                n = int(rest)
            except ValueError:
                n = None
            if n is not None and kind == b":":
                return n
            if n == -1:
                return None
            if n is not None and kind == b"$" and 0 <= n <= MAX_BULK:
                data = self._exact(n + 2, deadline)[:-2]
                return data if raw else data.decode("utf-8", "surrogateescape")
            if n is not None and kind == b"*" and 0 <= n <= 1 << 20 and depth < MAX_DEPTH:
                return [self._reply(deadline, raw, depth + 1) for _ in range(n)]
        raise ProtocolError(
            "%s does not speak Redis' protocol: it answered %r" % (self.where, line[:60].decode("ascii", "replace"))
        )


def _error(text):
    code = text.split(" ", 1)[0]
    return AuthFailed(text) if code in ("NOAUTH", "WRONGPASS", "NOPERM") else ReplyError(text)


def _command(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else os.fsencode(str(word))
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
