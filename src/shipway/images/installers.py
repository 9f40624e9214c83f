"""The two programs that make virtual environments: uv where there is one, else the interpreter's own venv and pip."""

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

Run = Callable[[str, Sequence[str]], None]
"""Runs a command: what it does in words, its argv."""

_FROM_PIP = {
    "UV_DEFAULT_INDEX": "PIP_INDEX_URL",
    "UV_INDEX": "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS": "PIP_FIND_LINKS",
    "UV_NO_INDEX": "PIP_NO_INDEX",
    "SSL_CERT_FILE": "PIP_CERT",
}
"""uv does not read pip's variables, but whoever set them meant every installer."""


class Installer(ABC):
    """Pure but for `run`: each verb says which commands do it."""

    @abstractmethod
    def create(self, python: str, target: Path, run: Run) -> None:
        """Make an empty virtual environment."""

    @abstractmethod
    def pins(self, python: str, requirements: Path, constraints: Path | None, run: Run) -> list[str]:
        """What the requirements come to, with all that they need, for that interpreter: one pinned requirement a line."""

    @abstractmethod
    def install(self, environment: Path, requirements: Path, *, needs: bool, run: Run) -> None:
        """Install a requirements file and compile it; `needs` False: it lists all that is needed, add nothing."""


class Uv(Installer):
    def __init__(self, program: str) -> None:
        self.program = program

    def create(self, python: str, target: Path, run: Run) -> None:
        run("make a virtual environment", [self.program, "venv", "--no-project", "--python", python, str(target)])

    def pins(self, python: str, requirements: Path, constraints: Path | None, run: Run) -> list[str]:
        output = requirements.with_suffix(".pins")
        argv = [self.program, "pip", "compile", "--python", python, "--quiet", "--no-header", "--no-annotate"]
        bounds = [] if constraints is None else ["--constraint", str(constraints)]
        run("resolve the requirements", [*argv, *bounds, "--output-file", str(output), str(requirements)])
        return [line for line in output.read_text().splitlines() if line and not line.startswith(("#", "-", " "))]

    def install(self, environment: Path, requirements: Path, *, needs: bool, run: Run) -> None:
        argv = [self.program, "pip", "install", "--python", str(environment / "bin" / "python"), "--compile-bytecode"]
        alone = ["--require-hashes"] if needs else ["--no-deps"]
        run("install the requirements", [*argv, *alone, "-r", str(requirements)])


class Pip(Installer):
    def create(self, python: str, target: Path, run: Run) -> None:
        run("make a virtual environment", [python, "-m", "venv", str(target)])

    def pins(self, python: str, requirements: Path, constraints: Path | None, run: Run) -> list[str]:
        scratch, report = requirements.with_suffix(".venv"), requirements.with_suffix(".report")
        self.create(python, scratch, run)  # the interpreter itself may have no pip
        argv = [str(scratch / "bin" / "python"), "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        bounds = [] if constraints is None else ["-c", str(constraints)]
        run("resolve the requirements", [*argv, "--report", str(report), *bounds, "-r", str(requirements)])
        found = msgspec.json.decode(report.read_bytes(), type=_Report).install
        return sorted(item.pin() for item in found)

    def install(self, environment: Path, requirements: Path, *, needs: bool, run: Run) -> None:
        argv = [str(environment / "bin" / "python"), "-m", "pip", "install", "--compile"]
        alone = ["--require-hashes"] if needs else ["--no-deps"]
        run("install the requirements", [*argv, *alone, "-r", str(requirements)])


def find_installer() -> Installer:
    """uv from PATH or from beside the interpreter that runs Shipway; else pip."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    return Uv(found) if found else Pip()


def installer_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Variables for both: the user's own, without what would lead to another interpreter or ask questions."""
    kept = {
        name: value
        for name, value in outer.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PIP_USER", "PIP_TARGET")
    }
    for ours, pips in _FROM_PIP.items():
        if pips in kept:
            kept.setdefault(ours, kept[pips])
    return kept | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_NO_PROGRESS": "1",
        "PIP_PROGRESS_BAR": "off",
    }


# What pip reports (https://pip.pypa.io/en/stable/reference/installation-report/), as far as pins need it.


class _Metadata(msgspec.Struct):
    name: str
    version: str


class _Vcs(msgspec.Struct):
    vcs: str
    commit_id: str


class _Download(msgspec.Struct):
    url: str
    vcs_info: _Vcs | None = None


class _Item(msgspec.Struct):
    metadata: _Metadata
    download_info: _Download
    is_direct: bool = False

    def pin(self) -> str:
        """The requirement that means exactly this."""
        origin = self.download_info
        if not self.is_direct:
            return f"{self.metadata.name.lower()}=={self.metadata.version}"
        if origin.vcs_info is None:
            return f"{self.metadata.name.lower()} @ {origin.url}"
        return f"{self.metadata.name.lower()} @ {origin.vcs_info.vcs}+{origin.url}@{origin.vcs_info.commit_id}"


class _Report(msgspec.Struct):
    install: list[_Item]
