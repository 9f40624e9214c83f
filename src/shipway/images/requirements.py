"""
Requirements files as pip reads them: continued lines, comments, options, `-r` and `-c` of other files.

Rule: a requirement must mean the same wherever it is read. What is installed from a path of this machine cannot: its content is in no
lock, so it is refused. (A directory of wheels is fine: `--find-links wheels` and the package's name.)
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from shipway.errors import ConfigError
from shipway.images.masking import masked

_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"^(?:-r|--requirement)[\s=]*(?P<path>\S.*)$")
_CONSTRAINT = re.compile(r"^(?:-c|--constraint)[\s=]*(?P<path>\S.*)$")
_EDITABLE = re.compile(r"^(?:-e|--editable)\b")
_FIND_LINKS = re.compile(r"^(?P<option>-f|--find-links)[\s=]*(?P<path>\S.*)$")
_PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*(\[[^\]]*\])?\s*===?\s*[^\s*,;]+\s*(;.*?)?(\s--hash[\s=]\S+)+$")
_HASH = re.compile(r"\s+--hash[\s=]\S+")
_ARCHIVE = re.compile(r"\.(whl|zip|tar\.gz|tar\.bz2|tgz)$")
_CREDENTIALS = re.compile(r"//[^/\s@:]*:[^/\s@]*@")


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a requirements file says, with all that it includes.

    `options` hold for the whole file (`--index-url …`), with local directories as absolute paths; `written` are the same as the user
    wrote them. Other lines are as written, without comments.
    """

    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def locked(self) -> bool:
        """
        Whether it is a lock already: everything pinned, with hashes.

        Pins alone are not: a file that pins only what it names leaves open what those need.
        """
        return bool(self.lines) and all(_PINNED.match(line) for line in self.lines)

    def with_lines(self, lines: Sequence[str]) -> "Requirements":
        """The same with more requirements; as these have no hashes, the others lose theirs and keep their pins."""
        if not lines:
            return self
        mine = tuple(_HASH.sub("", line) for line in self.lines) if self.locked else self.lines
        return msgspec.structs.replace(self, lines=(*mine, *lines))

    def text(self) -> str:
        """A requirements file that installers read from anywhere; constraints are not in it."""
        return "".join(f"{line}\n" for line in (*self.options, *self.lines))


def read_requirements(path: Path) -> Requirements:
    """Raises ConfigError with every line that cannot be used."""
    reader = _Reader()
    reader.read(path, constraint=False)
    if reader.problems:
        raise ConfigError(
            reader.problems,
            hint="make a wheel of a local package, put it in a directory, and write `--find-links DIRECTORY` and its name",
        )
    return Requirements(
        lines=tuple(reader.lines),
        constraints=tuple(reader.constraints),
        options=tuple(reader.options),
        written=tuple(reader.written),
    )


class _Reader:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constraints: list[str] = []
        self.options: list[str] = []
        self.written: list[str] = []
        self.problems: list[str] = []
        self._seen: set[tuple[Path, bool]] = set()

    def read(self, path: Path, *, constraint: bool) -> None:
        try:
            if (path.resolve(), constraint) in self._seen:
                return
            self._seen.add((path.resolve(), constraint))
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no possible path
            reason = error.strerror if isinstance(error, OSError) else error
            self.problems.append(f"{masked(str(path))}: cannot be read: {reason}")
            return
        for number, line in _logical(text.splitlines()):
            self._line(line, path, number, constraint=constraint)

    def _line(self, line: str, path: Path, number: int, *, constraint: bool) -> None:
        if include := _INCLUDE.match(line):
            self._include(include["path"], path, number, constraint=constraint)
        elif bound := _CONSTRAINT.match(line):
            self._include(bound["path"], path, number, constraint=True)
        elif _EDITABLE.match(line) or _is_local(line):
            self.problems.append(
                f"{path}:{number}: {masked(line)}: a package at a local path has no version that others could install"
            )
        elif line.startswith("-"):
            self.written.append(line)
            self.options.append(_absolute(line, path.parent))
        elif _CREDENTIALS.search(line) and "${" not in line:
            self.problems.append(
                f"{path}:{number}: {masked(line)}: credentials would be kept in the lock; write ${{NAME}} for them"
            )
        else:
            (self.constraints if constraint else self.lines).append(line)

    def _include(self, name: str, path: Path, number: int, *, constraint: bool) -> None:
        if "://" in name:
            self.problems.append(f"{path}:{number}: {masked(name)}: only files of the project can be included")
        else:
            self.read(path.parent / name.strip("\"'"), constraint=constraint)


def _logical(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined, without comments and blank ones; each with the number of its first."""
    start, pending = 0, ""
    for number, line in enumerate([*lines, ""], 1):
        start, line = (start, line.lstrip()) if pending else (number, line)
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            pending += line[:-1].rstrip() + " "
            continue
        whole, pending = _COMMENT.sub("", pending + line).strip(), ""
        if whole:
            yield start, whole


def _is_local(line: str) -> bool:
    """Whether pip would look for it on this machine."""
    if line.startswith("-"):
        return False
    name, at, url = line.partition(" @ ")
    target = (url if at else name).split(";")[0].split(" --")[0].strip()
    if target.startswith(("file:", ".", "/", "~")):
        return True
    return "://" not in target and ("/" in target or bool(_ARCHIVE.search(target)))


def _absolute(line: str, directory: Path) -> str:
    found = _FIND_LINKS.match(line)
    if found is None or "://" in found["path"]:
        return line
    place = directory / found["path"].strip("\"'")
    return f"--find-links {shlex.quote(str(place.absolute()))}" if place.exists() else line
