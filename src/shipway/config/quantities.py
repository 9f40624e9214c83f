"""Sizes and durations as people write them: `32GiB`, `1h30m`. A number without a unit is refused, since units are what gets mistaken."""

import math
import re
from datetime import timedelta

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_BYTES = {
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_MOST_MIB = 2**40

_STEP = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_CLOCK = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-9]{2}):([0-9]{2})")
LONGEST = timedelta(days=366)


def memory_mib(text: str) -> int:
    """A size in MiB, rounded up. Raises ValueError in words."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or len(text) > 40:
        raise ValueError("is not a size (write it like 512MiB, 32GiB or 64GB)")
    number, unit = found.groups()
    if not unit:
        raise ValueError(f"has no unit (did you mean '{number}GiB'?)")
    if unit not in _BYTES:
        raise ValueError(f"has the unknown unit {unit!r}{_unit_hint(number, unit)}")
    mib = math.ceil(float(number) * _BYTES[unit] / 2**20)
    if not 0 < mib <= _MOST_MIB:
        raise ValueError("is no amount of memory" if mib == 0 else "is more than any machine has")
    return mib


def _unit_hint(number: str, unit: str) -> str:
    near = {known.lower(): known for known in _BYTES}
    near |= {known.lower()[:2]: known for known in _BYTES if known.endswith("iB")}
    near |= {known.lower()[:1]: known for known in _BYTES if known.endswith("iB")}
    known = near.get(unit.lower())
    return f" (did you mean '{number}{known}'?)" if known else f" (units are {', '.join(_BYTES)})"


def duration(text: str) -> timedelta:
    """A length of time; "0s" is one. Raises ValueError in words."""
    text = text.strip()
    if len(text) > 40:
        raise ValueError("is not a duration (write it like 90s, 30m, 4h or 1d12h)")
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        parts = [
            f"{value}{unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")) if value
        ]
        raise ValueError(f"is not a duration (did you mean '{''.join(parts) or '0s'}'?)")
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"has no unit (did you mean '{text}s' or '{text}m'?)")
    steps = _STEP.findall(text)
    if not steps or "".join(number + unit for number, unit in steps) != text:
        raise ValueError("is not a duration (write it like 90s, 30m, 4h or 1d12h)")
    total = sum(float(number) * _SECONDS[unit] for number, unit in steps)
    if total > LONGEST.total_seconds():
        raise ValueError(f"is longer than {LONGEST.days} days")
    return timedelta(seconds=total)
