"""The public address of a process endpoint: one listening socket that the keeper holds and every revision inherits."""

import errno
import socket

BACKLOG = 1024
PORT_HINT = "end the program that listens there, or give the endpoint another port"


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises OSError whose text names the address."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise OSError(error.errno, f"{host}:{port} is no address to listen at: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        why = (
            "is in use by another program"
            if error.errno == errno.EADDRINUSE
            else f"cannot be listened at: {error.strerror}"
        )
        raise OSError(error.errno, f"port {port} on {host} {why}") from error
    # The flag lives in the open file description, so it is the same for every process that shares the socket.
    sock.setblocking(False)
    return sock
