"""The settings of `imagelane local`, left in its folder so that commands beside it find them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imagelane.ops.client.connection import HOST, LOCAL_DATA

NAME: Final = "environment"
ENVIRONMENT_FILE: Final = LOCAL_DATA / NAME


def keep_environment(
    data: Path, variables: Mapping[str, str], health_ports: Mapping[str, int]
) -> None:
    """Writes them as `NAME='value'` lines. They name files with secrets, and hold none."""
    addresses = {name: f"http://{HOST}:{port}" for name, port in health_ports.items()}
    told = {**variables, "IMAGELANE_DOCTOR_SERVICES": json.dumps(addresses)}
    quoted = {name: value.replace("'", "\\'") for name, value in told.items()}
    lines = [f"{name}='{value}'\n" for name, value in sorted(quoted.items())]
    (data / NAME).write_text("".join(lines), encoding="utf-8")
