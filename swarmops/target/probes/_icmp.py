"""Echoes to many addresses at once over one raw socket, so that a mesh of 50 costs no 50 `ping` processes."""

import os
import select
import socket
import struct
import time

from swarmops.target.probes._net import Unknown

AGAIN = 0.25  # seconds after which who has not answered is asked again: packets get lost


def echo(addresses, deadline, interface=None):
    """address -> milliseconds, for those IPv4 addresses that answered before the deadline.

    interface   the packets leave by this one only, such as wg0
    Raises Unknown when this user may not send echoes.
    """
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except PermissionError:
        raise Unknown("only root may send echoes here")
    with sock:
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        sock.setblocking(False)
        return _ask(sock, list(addresses), deadline)


def _ask(sock, addresses, deadline):
    ident, sequence, again = int.from_bytes(os.urandom(2), "big"), 0, 0.0
    answered: dict = {}
    sent: dict = {}
    while len(answered) < len(addresses):
        now = time.monotonic()
        if now >= deadline:
            break
        if now >= again:
            for address in addresses:
                if address not in answered:
                    sequence = (sequence + 1) & 0xFFFF
                    sent[sequence] = (address, time.perf_counter())
                    _send(sock, address, ident, sequence)
            again = now + AGAIN
        wait = max(0.0, min(deadline, again) - time.monotonic())
        if select.select([sock], [], [], wait)[0]:
            _take(sock, ident, sent, answered)
    return answered


def _send(sock, address, ident, sequence):
    head = struct.pack("!BBHHH", 8, 0, 0, ident, sequence)
    body = b"swarmops"
    packet = struct.pack("!BBHHH", 8, 0, _sum(head + body), ident, sequence) + body
    try:
        sock.sendto(packet, (address, 0))
    except OSError:  # no route now, or WireGuard knows no endpoint: it counts as not answered
        pass


def _take(sock, ident, sent, answered):
    """Read every waiting packet; ours are echo replies with our id from the address we asked."""
    while True:
        try:
            packet, (source, _) = sock.recvfrom(2048)
        except (BlockingIOError, InterruptedError):
            return
        at = time.perf_counter()
        skip = (packet[0] & 15) * 4
        if len(packet) < skip + 8:
            continue
        kind, _, _, whose, sequence = struct.unpack_from("!BBHHH", packet, skip)
        if kind == 0 and whose == ident and sent.get(sequence, ("",))[0] == source and source not in answered:
            answered[source] = (at - sent[sequence][1]) * 1000


def _sum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
