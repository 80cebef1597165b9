"""The YAML of `schemas/openapi.yaml` and `schemas/asyncapi.yaml`: plain, and as people would write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def yaml_document(document: Mapping[str, Any], *, width: int) -> str:
    """Keys in their order, lines folded at `width` characters, no anchors, texts of several lines as such."""
    return yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
