"""A look at a URL from outside, as a caller would see it."""


def accepts(url: str) -> bool:
    """Whether a connection to it is taken at all."""
    import socket
    from urllib.parse import urlsplit

    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port), timeout=2.0).close()
    except OSError:
        return False
    return True


def answers_by(url: str) -> str | None:
    """The revision that answers at `url` now."""
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5.0)
    try:
        connection.request("GET", "/v2/health/ready", headers={"Connection": "close"})
        return connection.getresponse().getheader("x-shipway-revision")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
