"""The command line `imagelane`."""

from __future__ import annotations

from typing import Final

import typer

from imagelane.ops.on_demand import OnDemand

COMMANDS: Final = {
    "submit": "imagelane.ops.cli_submit:submit",
    "status": "imagelane.ops.cli_submit:status",
    "explain": "imagelane.ops.cli_explain:explain",
    "jobs": "imagelane.ops.cli_looking:jobs",
    "images": "imagelane.ops.cli_looking:images",
    "results": "imagelane.ops.cli_looking:results",
    "trace": "imagelane.ops.cli_looking:trace",
    "lanes": "imagelane.ops.cli_lanes:app",
    "cancel": "imagelane.ops.cli_cancelling:cancel",
    "delete": "imagelane.ops.cli_cancelling:delete",
    "produce": "imagelane.ops.cli_produce:produce",
    "dlq": "imagelane.ops.cli_dlq:app",
    "keys": "imagelane.ops.cli_keys:app",
    "topics": "imagelane.ops.cli_topics:app",
    "tracker": "imagelane.ops.cli_tracker:app",
    "buckets": "imagelane.ops.cli_buckets:app",
    "doctor": "imagelane.ops.cli_doctor:doctor",
    "capacity": "imagelane.ops.cli_capacity:capacity",
    "local": "imagelane.ops.cli_local:local",
    "demo": "imagelane.ops.cli_local:demo",
}
"""Where each command is, as a person would want to read them."""


class Commands(OnDemand):
    """All of them."""

    places = COMMANDS


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _imagelane() -> None:
    """Lists of image URLs in, processed images out: hand in, look, decide, run."""


def main() -> None:
    """The entry point of the console script."""
    app()
