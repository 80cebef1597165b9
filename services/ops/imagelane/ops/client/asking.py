"""How a command that asks the gateway runs, and how it ends when it cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar

import msgspec
import typer

from imagelane.ops.client.connection import Connection
from imagelane.ops.client.core.answers import UnreadableAnswerError, read
from imagelane.ops.client.gateway import Gateway, GatewayError
from imagelane.ops.command_line import fail

INTERRUPTED: Final = 130
Result = TypeVar("Result")


def ask(
    connection: Connection,
    work: Callable[[Gateway], Awaitable[Result]],
    *,
    interrupted: str = "",
) -> Result:
    """What the work comes to. Whatever goes wrong is told in a sentence, and ends the command.

    `interrupted` is what Ctrl-C has to tell.
    """
    try:
        return run(connection, work)
    except GatewayError as error:
        fail(str(error), error.exit_code)
    except UnreadableAnswerError as error:
        _fail_of_answer(connection, error)
    except KeyboardInterrupt:
        typer.echo(f"\n{interrupted}".rstrip(), err=True)
        raise typer.Exit(INTERRUPTED) from None


def understood(connection: Connection, answer: bytes | msgspec.Raw, kind: type[Result]) -> Result:
    """What the answer says. Ends the command where it is none of this API."""
    try:
        return read(answer, kind)
    except UnreadableAnswerError as error:
        _fail_of_answer(connection, error)


def run(connection: Connection, work: Callable[[Gateway], Awaitable[Result]]) -> Result:
    """What the work comes to. Raises what it raises."""
    return asyncio.run(_within(connection, work))


def _fail_of_answer(connection: Connection, error: UnreadableAnswerError) -> NoReturn:
    fail(f"{connection.url}: {error}; --gateway names another")


async def _within(connection: Connection, work: Callable[[Gateway], Awaitable[Result]]) -> Result:
    async with Gateway(connection) as gateway:
        return await work(gateway)
