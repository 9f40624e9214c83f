"""YAML that reads the same by the rules of YAML 1.1 and 1.2."""

from typing import Any

import yaml

from shipway.config.scalars import is_text


class Dumper(yaml.SafeDumper):
    """Quotes every text that either version takes for something else, and uses no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Dumper, value: str) -> yaml.Node:
    # PyYAML itself quotes what YAML 1.1 would misread, but folds line breaks that it then reads as blanks.
    style = '"' if not value.isprintable() else None if is_text(value) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, _text)
