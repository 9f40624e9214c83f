"""Where things lie other than by default: an environment of its own, a journal in PostgreSQL."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LAB = Path(__file__).parents[2] / "lab" / "postgres.py"
MISSING = 3

BOAT = """
project: boats
tracking: off
environment: {requirements: requirements.txt}
stages:
  sail: {run: "python -c 'import boat; print(boat.VERSION)' > version.txt", inputs: [], outputs: [version.txt]}
"""


@pytest.mark.slow
def test_a_stage_runs_with_the_packages_of_its_requirements(shipway: Any, make_project: Callable[..., Path]) -> None:
    project = make_project(BOAT)
    wheels = project / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "boat", version)
        (project / "requirements.txt").write_text(f"--no-index\n--find-links wheels\nboat=={version}\n")
        done = shipway(project, "run")
        assert done.returncode == 0, done.stderr
        assert (project / "version.txt").read_text() == f"{version}\n"
    (project / "requirements.txt").write_text("--no-index\n--find-links wheels\nboat==1.0\n")
    assert "sail: cached" in shipway(project, "run").stderr
    (project / "requirements.txt").write_text("--no-index\n--find-links wheels\nboat==3.0\n")
    missing = shipway(project, "run")
    assert missing.returncode == 1
    assert "boat" in missing.stderr
    assert "Traceback" not in missing.stderr


def make_wheel(wheels: Path, name: str, version: str) -> None:
    """A wheel of one module with a `VERSION`."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


TWO = """
project: tiny
tracking: off
journal: "URL"
stages:
  one: {run: "cat in.txt > one.txt", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cat one.txt one.txt > two.txt", inputs: [one.txt], outputs: [two.txt]}
"""


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL, without its password, of a server that ends with the test."""
    server = subprocess.Popen(
        [sys.executable, LAB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if not url:
        _, errors = server.communicate()
        if server.returncode == MISSING and os.environ.get("CI") != "true":
            pytest.skip(errors.strip())
        pytest.fail(errors)
    user, _, place = url.removeprefix("postgresql://").partition("@")
    name, _, password = user.partition(":")
    monkeypatch.setenv("PGPASSWORD", password)
    yield f"postgresql://{name}@{place}"
    server.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.lab
def test_a_run_is_kept_in_postgresql_and_found_from_another_checkout(
    database: str, shipway: Any, make_project: Callable[..., Path]
) -> None:
    password = os.environ["PGPASSWORD"]
    here, there = (make_project(TWO.replace("URL", database), {"in.txt": "in\n"}, name) for name in ("here", "there"))
    died = shipway(here, "run", PGPASSWORD=password, SHIPWAY_CRASH_AT="job:recorded")
    assert died.returncode < 0
    again = shipway(here, "run", PGPASSWORD=password)
    assert again.returncode == 0, again.stderr
    assert not (here / ".shipway" / "journal.db").exists()
    (run,) = json.loads(shipway(there, "runs", "--json", PGPASSWORD=password).stdout)["runs"]
    assert run["state"] == "succeeded"
    shown = json.loads(shipway(there, "show", "--json", PGPASSWORD=password).stdout)
    assert [(row["name"], row["state"], row["job"][-2:]) for row in shown["stages"]] == [
        ("one", "succeeded", "-1"),
        ("two", "succeeded", "-1"),
    ]
    wrong = shipway(here, "run", PGPASSWORD="wrong")
    assert wrong.returncode in (1, 4)
    assert "wrong" not in wrong.stderr.replace("password", "")
    assert "Traceback" not in wrong.stderr
