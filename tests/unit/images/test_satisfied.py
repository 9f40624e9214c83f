"""Whether requirements are met is answered from metadata, and "no" where it is not sure."""

from pathlib import Path

import pytest

from shipway.images.satisfied import satisfied


@pytest.fixture
def site(tmp_path: Path) -> str:
    """Web 1.10.0 with an extra of two packages, of which one is there."""
    about = (
        'Requires-Dist: speed>=1; extra == "fast"\n'
        'Requires-Dist: absent; extra == "full"\n'
        'Requires-Dist: winonly; sys_platform == "win32" and extra == "fast"\n'
        "Requires-Dist: base>=1\n"
    )
    for name, version, more in (("Web_Kit", "1.10.0", about), ("speed", "2.0rc1", "")):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")
    return str(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "web-kit",
        "WEB.kit",
        "web_kit>=1.9",
        "web-kit >= 1.10, > 1",
        "web-kit==1.10.0",
        "web-kit[fast]>=1",
        "speed>=2",
        "web-kit>=1.10.0.0",
    ],
)
def test_what_is_there_is_met(site: str, line: str) -> None:
    assert satisfied([line], [site])


@pytest.mark.parametrize(
    "line",
    [
        "absent", "web-kit>=1.11", "web-kit>1.10", "web-kit==1.9.0", "web-kit<2", "web-kit~=1.10", "web-kit!=1", "web-kit[full]",
        "web-kit @ https://example.org/w.whl", "web-kit; python_version > '3'", "-r more.txt", "", "web-kit>=1.10.post1",
    ],
)  # fmt: skip
def test_what_is_absent_or_unclear_is_not_met(site: str, line: str) -> None:
    assert not satisfied(["speed", line], [site])
