"""The accepted lists in the private part of the object store, the marks beside them, and the orders.

| key | what its presence says |
|---|---|
| `lists/<customer>/<job>` | the list is accepted; from here on it is refused no more, and this copy is the truth |
| `lists/<customer>/<job>.<mark>` | see `Mark` |
| `orders/<customer>/<microseconds>.<kind>` | a person decided about all that the customer had handed in by then |

Whoever decides writes first and looks then: a list is frozen, then orders are read; an order is kept,
then lists are read. So of two at a time at least one sees the other.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from imagelane.contracts.codec import decode, encode
from imagelane.contracts.commands import CancelCustomer, CancelJob, DeleteCustomer, DeleteJob
from imagelane.contracts.events import Event
from imagelane.contracts.topics import COMMANDS
from imagelane.core.recipes import folder_name, lists_folder
from imagelane.intake.core.frozen import FrozenHeader, FrozenList, read_header
from imagelane.intake.core.marks import Mark
from imagelane.platform.store import (
    PRIVATE_CACHE_CONTROL,
    ObjectHeaders,
    ObjectMissingError,
    ObjectStore,
)

LIST_HEADERS: Final = ObjectHeaders("application/gzip", PRIVATE_CACHE_CONTROL)
MARK_HEADERS: Final = ObjectHeaders("application/json", PRIVATE_CACHE_CONTROL)
ORDERS: Final = "orders"

IN_ORDER_OF_REMOVAL: Final = (Mark.SEALED, Mark.STOPPED, None, Mark.DELETED, Mark.FINISHED)
"""What is left says what is left to do: `deleted` until the list has gone, `finished` until all has."""


Command = CancelJob | DeleteJob | CancelCustomer | DeleteCustomer
Found = dict[Mark | None, datetime]
"""When what was put of a job; under None, the list."""


class FrozenLists:
    """Reads and writes them. `key` is `list_key`. All methods raise `StoreUnavailableError`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def header(self, key: str) -> FrozenHeader | None:
        """The header of an accepted list, or None if there is none."""
        try:
            async with self.reading(key) as (header, _):
                return header
        except ObjectMissingError:
            return None

    async def freeze(self, images: FrozenList, header: FrozenHeader) -> bool:
        """Stores the list; False if the job has one already, which then stays as it is."""
        return await self._store.put(
            header.key, images.finish(header), LIST_HEADERS, if_absent=True
        )

    @asynccontextmanager
    async def reading(self, key: str) -> AsyncIterator[tuple[FrozenHeader, Iterator[bytes]]]:
        """The header, and the images' lines as they are asked for. Raises `ObjectMissingError`."""
        async with self._store.reading(key) as descriptor:
            with _unpacked(descriptor) as lines:
                yield read_header(next(lines, b"")), lines

    async def mark(self, key: str, mark: Mark, event: Event) -> None:
        """Puts the mark, unless it is there: then its first event stays."""
        await self._store.put(f"{key}.{mark}", encode(event), MARK_HEADERS, if_absent=True)

    async def has(self, key: str, mark: Mark) -> bool:
        """Whether the mark is there."""
        return await self._store.exists(f"{key}.{mark}")

    async def marked(self, key: str, mark: Mark) -> bytes | None:
        """The event of the mark, if it is there."""
        try:
            return await self._store.get(f"{key}.{mark}")
        except ObjectMissingError:
            return None

    async def obey(self, key: str, command: Command) -> None:
        """Keeps a person's decision about the job, for whichever intake works on it, now or later."""
        await self.mark(key, Mark.STOPPED, command)
        if isinstance(command, DeleteJob | DeleteCustomer):
            await self.mark(key, Mark.DELETED, command)

    async def remove(self, key: str) -> None:
        """Removes the list and its marks, but not `finished`: the key stays used up."""
        for part in IN_ORDER_OF_REMOVAL[:-1]:
            await self._store.delete(_key_of(key, part))

    async def forget(self, key: str, found: Found) -> None:
        """Removes what was found, `finished` last: until then the key is used up."""
        for part in IN_ORDER_OF_REMOVAL:
            if part in found:
                await self._store.delete(_key_of(key, part))

    async def jobs(self, customer_id: str | None = None) -> AsyncIterator[tuple[str, Found]]:
        """Every key, of one customer or of all, with what there is of it."""
        folder = "lists" if customer_id is None else lists_folder(customer_id)
        current, found = "", Found()
        async for one in self._store.list(f"{folder}/"):
            key, _, end = one.key.partition(".")
            if key != current and found:
                yield current, found
                found = Found()
            current = key
            found[Mark(end) if end else None] = one.modified_at
        if found:
            yield current, found

    # Orders about customers

    async def keep_order(self, command: CancelCustomer | DeleteCustomer) -> None:
        """Keeps the command for jobs that are accepted later though they were handed in before."""
        microseconds = round(command.occurred_at.timestamp() * 1_000_000)
        kind = "delete" if isinstance(command, DeleteCustomer) else "cancel"
        key = f"{ORDERS}/{folder_name(command.customer_id)}/{microseconds}.{kind}"
        await self._store.put(key, encode(command), MARK_HEADERS)

    async def orders_for(self, header: FrozenHeader) -> list[Command]:
        """The orders that hold for this list."""
        found: list[Command] = []
        async for one in self._store.list(f"{ORDERS}/{folder_name(header.customer_id)}/"):
            if header.was_handed_in_by(_given_at(one.key)):
                with suppress(ObjectMissingError):  # removed meanwhile, as too old
                    found.append(decode(COMMANDS, await self._store.get(one.key)))
        return found

    async def forget_orders(self, before: datetime) -> int:
        """Removes orders that were given before. How many."""
        removed = 0
        async for one in self._store.list(f"{ORDERS}/"):
            if _given_at(one.key) < before:
                await self._store.delete(one.key)
                removed += 1
        return removed


def _key_of(key: str, part: Mark | None) -> str:
    return key if part is None else f"{key}.{part}"


def _given_at(key: str) -> datetime:
    microseconds = key.rpartition("/")[2].partition(".")[0]
    return datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC)


@contextmanager
def _unpacked(descriptor: int) -> Iterator[Iterator[bytes]]:
    with (
        open(descriptor, "rb", closefd=False) as packed,
        gzip.GzipFile(fileobj=packed) as lines,
    ):
        yield iter(lines)
