"""The public address of a process endpoint: one listening socket that the keeper holds and every revision inherits."""

import contextlib
import errno
import json
import socket

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises OSError whose text names the address."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise OSError(error.errno, f"{host}:{port} is no address to listen at: {error}") from error
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
        raise OSError(error.errno, f"{host}:{port} {why}") from error
    # The flag lives in the open file description, so it is the same for every process that shares the socket.
    sock.setblocking(False)
    return sock


def refuse(listener: socket.socket, why: str) -> None:
    """Take one connection and answer 503: while no revision serves, a caller should hear so at once rather than hang in the queue."""
    body = json.dumps({"error": why}).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            connection.setblocking(False)
            # Unread bytes at close would reset the connection, and the caller might never see the answer.
            with contextlib.suppress(BlockingIOError):
                while connection.recv(65536):
                    pass
            connection.send(head.encode() + body)
            connection.shutdown(socket.SHUT_WR)
