"""Tiny wheels, made on the spot, so that environments are built without a network."""

import base64
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

MakeWheel = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's root with an empty directory of wheels."""
    root = tmp_path / "project"
    (root / "wheels").mkdir(parents=True)
    return root


@pytest.fixture
def make_wheel(project: Path) -> MakeWheel:
    """Put a wheel of one module with a `VERSION` into the project's wheels."""

    def make(name: str, version: str = "1.0", requires: str | None = None) -> Path:
        info = f"{name}-{version}.dist-info"
        files = {
            f"{name}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + (f"Requires-Dist: {requires}\n" if requires else ""),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
        path = project / "wheels" / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for member, text in files.items():
                wheel.writestr(member, text)
            wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
        return path

    return make


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
