"""Socket options of both drivers."""

from __future__ import annotations

import socket

KEEPALIVE_OPTIONS = [
    # Headers and body are sent in two packets: without this, the second one is delayed by 40 ms.
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]
"""A stream may be silent for as long as a step executes. Only TCP keep-alive probes distinguish a
silent server from an unreachable one."""
