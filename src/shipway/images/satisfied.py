"""
Whether requirement lines are met by what an interpreter has installed, judged from metadata files alone.

Rule: "no" where it is not sure. A wrong "no" costs a virtual environment that was not needed; a wrong "yes" a package that is missing.
"""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, MetadataPathFinder

from shipway.images.interpreter import normalised

_REQUIREMENT = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[(?P<extras>[^\]]*)\])?\s*\(?(?P<bounds>[^;@()]*)\)?\s*(;(?P<marker>.*))?$"
)
_BOUND = re.compile(r"^\s*(>=|==|>)\s*([0-9]+(?:\.[0-9]+)*)\s*$")
_RELEASE = re.compile(r"^[0-9]+(?:\.[0-9]+)*")


def satisfied(lines: Iterable[str], paths: Sequence[str]) -> bool:
    """Whether each line's package is there in a version within its bounds, and each package that its extras add."""
    return all(_met(line, list(paths)) for line in lines)


def _met(line: str, paths: list[str]) -> bool:
    parsed = _REQUIREMENT.match(line)
    if parsed is None or parsed["marker"]:
        return False
    found = _find(parsed["name"], paths)
    if found is None or not _within(found.version, parsed["bounds"]):
        return False
    extras = [extra.strip() for extra in (parsed["extras"] or "").split(",") if extra.strip()]
    return all(_has_extra(found, extra, paths) for extra in extras)


def _find(name: str, paths: list[str]) -> Distribution | None:
    return next(iter(MetadataPathFinder.find_distributions(_context(name, paths))), None)


def _context(name: str, paths: list[str]) -> MetadataPathFinder.Context:
    return MetadataPathFinder.Context(name=name, path=paths)


def _has_extra(found: Distribution, extra: str, paths: list[str]) -> bool:
    """Whether what the extra adds is there, in any version; what depends on the platform as well is left to the package."""
    for text in found.requires or ():
        parsed = _REQUIREMENT.match(text)
        marker = (parsed["marker"] or "") if parsed else ""
        named = re.findall(r"""extra\s*==\s*["']([^"']+)["']""", marker)
        if normalised(extra) not in map(normalised, named):
            continue
        only_extra = not re.search(r"sys_platform|platform_|python_version|implementation", marker)
        if parsed and only_extra and _find(parsed["name"], paths) is None:
            return False
    return True


def _within(version: str, bounds: str) -> bool:
    return all(_holds(version, bound) for bound in bounds.split(",") if bound.strip())


def _holds(version: str, bound: str) -> bool:
    parsed, release = _BOUND.match(bound), _RELEASE.match(version)
    if parsed is None or release is None:
        return False
    have, want = _numbers(release[0]), _numbers(parsed[2])
    if parsed[1] == "==":
        return version == parsed[2]
    return have >= want if parsed[1] == ">=" else have > want


def _numbers(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in text.split(".")]
    while numbers and not numbers[-1]:  # 1.0 is 1
        numbers.pop()
    return tuple(numbers)
