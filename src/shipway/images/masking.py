"""Credentials in URLs, kept out of whatever people or files get to see."""

import re

_CREDENTIALS = re.compile(r"//[^/\s@]+@")


def masked(text: str) -> str:
    """`https://user:secret@host` as `https://***@host`."""
    return _CREDENTIALS.sub("//***@", text)
