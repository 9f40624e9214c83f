"""YAML that reads the same by the rules of YAML 1.1 and 1.2."""

from typing import Any

import yaml

from shipway.config.scalars import differs, is_text


class Dumper(yaml.SafeDumper):
    """Quotes every text that either version takes for something else, and uses no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Dumper, value: str) -> yaml.Node:
    # PyYAML would fold line breaks and then read them as blanks.
    plain = is_text(value) and not differs(value)
    style = '"' if not value.isprintable() else None if plain else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, _text)
