"""`imagelane buckets`: the buckets of a deployment on S3."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

from imagelane.ops.bucket_lifecycle import LifecycleError, apply_rules, read_rules
from imagelane.ops.buckets import prepare_buckets
from imagelane.ops.command_line import fail
from imagelane.platform.settings import EnvironmentSettings, load_or_exit
from imagelane.platform.store_settings import StoreSettings

app = typer.Typer(no_args_is_help=True, help="The buckets of a deployment on S3.")


class BucketsCommandSettings(EnvironmentSettings):
    """What these commands read from the environment."""

    store: StoreSettings = Field(description="The same variables as for the services.")


@app.callback()
def _buckets() -> None:
    """Makes this a group, though it has one command yet."""


@app.command()
def apply(
    lifecycle: Annotated[
        Path | None,
        typer.Option(help="A file of lifecycle rules, such as compose/lifecycle.json."),
    ] = None,
) -> None:
    """Makes missing buckets, opens what is public, closes what is presigned, and sets lifecycle rules."""
    settings = load_or_exit(BucketsCommandSettings).store
    try:
        rules = None if lifecycle is None else read_rules(lifecycle)
        asyncio.run(prepare_buckets(settings, say=typer.echo))
        if rules is not None:
            asyncio.run(apply_rules(settings, rules, say=typer.echo))
    except LifecycleError as error:
        fail(str(error))
    except (BotoCoreError, ClientError) as error:
        fail(f"{settings.s3.endpoint_url or 'AWS'}: {error}")
