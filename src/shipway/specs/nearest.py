"""What a mistyped name was probably meant to be."""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, if one is like it at all."""
    from difflib import get_close_matches

    folded = {other.casefold(): other for other in known}
    close = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'accuracy'?)`, else what there is if that is little, else nothing."""
    names = list(known)
    if (close := nearest(name, names)) is not None:
        return f" (did you mean {close!r}?)"
    if 0 < len(names) <= 12:
        return f" (there {'is' if len(names) == 1 else 'are'} {', '.join(names)})"
    return ""
