"""A port to know before somebody listens on it, or for nobody to listen on."""

import random
import socket


def free_port():
    """Of all addresses; not one that a connection or bind(0) may have as its own a moment later."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("", port))
                udp.bind(("", port))
                return port
            except OSError:
                pass
