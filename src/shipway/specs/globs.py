"""Paths and globs of a project: POSIX, relative, normalised; `*` stays within a component, `**` spans any number of them."""

import re
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|.", re.DOTALL)
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_glob(path: str) -> bool:
    return any(mark in path for mark in "*?[")


def within(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it."""
    return directory == "." or path == directory or path.startswith(directory + "/")


def meets(left: str, right: str) -> bool:
    """Whether one of the two paths is the other or lies below it."""
    return within(left, right) or within(right, left)


def glob_head(pattern: str) -> str:
    """The part of a glob before its first wildcard component; "." if there is none."""
    parts = pattern.split("/")
    plain = next(index for index, part in enumerate(parts) if is_glob(part))
    return "/".join(parts[:plain]) or "."


def matches(pattern: str, path: str) -> bool:
    """Whether a glob names this very path."""
    return _compiled(pattern).fullmatch(path) is not None


def reaches(path: str, output: str) -> bool:
    """
    Whether an input, plain or glob, can read something of `output`: the whole, what lies in it, or a directory that holds it.

    What an output directory will hold is not known yet, so a glob that goes deeper than it does reach it: `data/*/x.csv` reaches `data/new`,
    and `*.py` doesn't. A glob that begins with `**` means the project's own files, or else every stage that reads `**/*.py` would need all others;
    it reaches an output only by its name.
    """
    if not is_glob(path):
        return meets(path, output)
    if path.startswith("**"):
        return matches(path, output)
    return _overlap(path.split("/"), output.split("/"))


def _overlap(pattern: list[str], parts: list[str]) -> bool:
    if not pattern or not parts:
        return True
    if pattern[0] == "**":
        # As the last component it spans all that is below; before others, any number of components.
        return len(pattern) == 1 or any(_overlap(pattern[1:], parts[index:]) for index in range(len(parts) + 1))
    return matches(pattern[0], parts[0]) and _overlap(pattern[1:], parts[1:])


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_translate(token) for token in _TOKEN.findall(pattern)), re.DOTALL)


def _translate(token: str) -> str:
    if token in _WILD:
        return _WILD[token]
    if len(token) > 1:  # a set of characters; "!" negates, as in the shell
        return "[^" + token[2:] if token[1] == "!" else token
    return re.escape(token)
