"""
What a plain YAML scalar says, by the core schema of YAML 1.2 (§10.3): only `true` and `false` are booleans.

Many programs still read YAML 1.1, so `differs` knows the words that mean something else there.
"""

import math
import re

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")

_OLD_BOOL = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_OLD_INT = re.compile(
    r"[-+]?0b[01_]+|[-+]?0[0-9_]+|[-+]?[1-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+"
)
"""Binary, octal (or a number with zeros before it, which is text there), decimal, hexadecimal, base 60; all with underscores."""
_OLD_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*"
)
_SAME_INT = re.compile(r"[-+]?[1-9][0-9]*|0x[0-9a-fA-F]+")
_OLD_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?)?"
)

MOST = 2**64 - 1
LEAST = -(2**63)


def read(text: str) -> bool | int | float | str | None:
    """The value of a plain scalar. Raises ValueError, in words, for a number that nothing could hold."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return _whole(text, 10)
    if _BASED.fullmatch(text):
        return _whole(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"{text[:40]} is too large")
        return number
    if found := _INFINITE.fullmatch(text):
        return -math.inf if found[1] == "-" else math.inf
    return math.nan if _NAN.fullmatch(text) else text


def differs(text: str) -> str | None:
    """What YAML 1.1 takes this plain scalar for ("a boolean"), where the core schema takes it for something else."""
    if _OLD_BOOL.fullmatch(text):
        return "a boolean"
    if _OLD_INT.fullmatch(text) and not _SAME_INT.fullmatch(text):
        return "another number" if _INT.fullmatch(text) else "a number"
    if _OLD_FLOAT.fullmatch(text) and not _FLOAT.fullmatch(text):
        return "a number"
    if _OLD_DATE.fullmatch(text):
        return "a date"
    return None


def is_text(plain: str) -> bool:
    """Whether a plain scalar is a text, not a number, a boolean or nothing."""
    try:
        return isinstance(read(plain), str)
    except ValueError:
        return False


def _whole(digits: str, base: int) -> int:
    # Python refuses to read more than some thousand digits, and stored records hold 64 bits.
    if len(digits) > 80 or not LEAST <= (number := int(digits, base)) <= MOST:
        raise ValueError(f"{digits[:40]} is too large; whole numbers have 64 bits")
    return number
