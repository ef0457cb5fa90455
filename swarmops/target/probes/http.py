"""Does a URL answer as it should? Looks at the status, at text in the body and at values in a JSON body.

`json` maps dotted paths to what must be there: a value, or `">= 3"`, `"< 10"`; the path `routers.length`
counts. What `warn_unless` says, in the same words, must be so as well, else it warns: a degraded service still
answers. Redirects are not followed: a service that redirects its health page is told apart. Value: milliseconds.
"""

import time

from swarmops.target.probes._net import Down, Unknown, connect, left, tls

ARGS = {
    "url": "text!",
    "status": "list",  # which ones are fine; none: 200 to 299
    "body": "text",  # must be in the body
    "json": "map",
    "warn_unless": "map",  # like json: where it is not so, that is a warning
    "ca": "path",
    "ca_pem": "text",  # the CA itself, where no file of it is at hand
    "cert": "path",
    "key": "path",
    "server_name": "text",
    "verify": "bool = true",
}
SHORT = "url"
MOST = 1 << 20  # bytes of a body that are read


def probe(args, system, deadline):
    began = time.perf_counter()
    status, body = _get(args, deadline)
    found = {"value": round((time.perf_counter() - began) * 1000, 3), "unit": "ms", "status": status}
    wrong = _wrong(args, status, body)
    if wrong:
        return dict(found, ok=False, detail="%s %s" % (args["url"], wrong))
    lacking = _differs(body, args.get("warn_unless") or {})
    if lacking:
        return dict(found, ok=True, warn=True, detail="%s %s" % (args["url"], lacking))
    return dict(found, ok=True, detail="%s answers %d" % (args["url"], status))


def _wrong(args, status, body):
    """What is not as it should be, or None."""
    fine = [int(s) for s in args.get("status") or ()]
    if (status not in fine) if fine else not 200 <= status <= 299:
        said = body[:120].decode("utf-8", "replace").strip()
        return "answers %d%s" % (status, ": " + said if said else "")
    if args.get("body") and args["body"].encode() not in body:
        return "answers without %r in its body" % args["body"]
    return _differs(body, args.get("json") or {})


def _differs(body, wanted):
    """Which value of a JSON body is not as wanted, or None."""
    if not wanted:
        return None
    import json

    try:
        whole = json.loads(body)
    except ValueError:
        return "does not answer with JSON"
    for path, want in wanted.items():
        is_ = _dig(whole, path)
        if not _holds(is_, want):
            return "says %s is %s, not %s" % (path, json.dumps(is_), want)
    return None


def _dig(value, path):
    for word in path.split("."):
        if word == "length" and isinstance(value, (list, dict)) and "length" not in value:
            value = len(value)
        elif isinstance(value, dict):
            value = value.get(word)
        elif isinstance(value, list) and word.isdigit() and int(word) < len(value):
            value = value[int(word)]
        else:
            return None
    return value


def _holds(is_, want):
    if isinstance(want, str) and want[:1] in ("<", ">"):
        sign = want[:2] if want[1:2] == "=" else want[:1]
        try:
            limit = float(want[len(sign) :])
        except ValueError:
            return is_ == want
        if isinstance(is_, bool) or not isinstance(is_, (int, float)):
            return False
        return {"<": is_ < limit, ">": is_ > limit, "<=": is_ <= limit, ">=": is_ >= limit}[sign]
    return is_ == want


def split(url):
    """(scheme, host, port, path) of an http or https URL. Raises Unknown."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in ("http", "https"):
        raise Unknown("%r is not an http or https URL" % url)
    place, slash, path = rest.partition("/")
    if "@" in place:
        raise Unknown("the URL holds a user or password; health checks send none")
    host, port = place, ""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port.lstrip(":")
    elif ":" in place:
        host, _, port = place.partition(":")
    if port and not port.isdigit():
        raise Unknown("%r has no valid port" % url)
    return scheme, host, int(port or (443 if scheme == "https" else 80)), slash + path or "/"


def _get(args, deadline):
    """(status, body) of a GET. HTTP/1.0, so that the body ends with the connection."""
    scheme, host, port, path = split(args["url"])
    if any(c <= " " or c == "\x7f" for c in args["url"]):
        raise Unknown("the URL holds a space or a control character")
    sock = connect(host, port, deadline)
    try:
        if scheme == "https":
            sock = _wrap(sock, dict(args, host=host), deadline)
        name = args["url"].partition("://")[2].partition("/")[0]
        ask = ["GET %s HTTP/1.0" % path, "Host: " + name, "User-Agent: swarmops", "Connection: close", "", ""]
        sock.sendall("\r\n".join(ask).encode())
        raw = _read(sock, args["url"], deadline)
    finally:
        sock.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Down("%s does not answer with HTTP" % args["url"])
    if b"transfer-encoding: chunked" in head.lower():
        body = _unchunk(body)
    return int(words[1]), body


def _wrap(sock, args, deadline):
    import ssl

    try:
        return tls(sock, args, deadline, verify=args.get("verify") is not False)
    except ssl.SSLCertVerificationError as e:
        raise Down("%s: its certificate is not trusted: %s" % (args["url"], e.verify_message))


def _read(sock, url, deadline):
    size, end = 0, None
    parts: list = []
    while size < MOST:
        sock.settimeout(left(deadline, "%s accepts connections but does not answer" % url))
        try:
            chunk = sock.recv(65536)
        except ConnectionError as e:
            if parts:
                break
            raise Down("%s: %s" % (url, e.strerror))
        except OSError:
            left(deadline, "%s accepts connections but does not answer" % url)
            raise TimeoutError("%s accepts connections but does not answer" % url)
        if not chunk:
            break
        parts.append(chunk)
        size += len(chunk)
        end = end or _ends_at(b"".join(parts))
        if end and size >= end:
            break
    return b"".join(parts)


def _ends_at(raw):
    """Where the answer ends by its Content-Length: some servers keep the connection open all the same."""
    head, mark, _ = raw.partition(b"\r\n\r\n")
    for row in head.split(b"\r\n")[1:] if mark else ():
        name, _, value = row.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return len(head) + 4 + int(value)
    return None


def _unchunk(body):
    out = []
    while body:
        size, _, body = body.partition(b"\r\n")
        try:
            n = int(size.split(b";")[0], 16)
        except ValueError:
            break
        if not n:
            break
        out.append(body[:n])
        body = body[n + 2 :]
    return b"".join(out)
