"""The object store's port: what services need of a directory or of S3, and no more.

Objects are written once: whoever writes a key again writes the same bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

PUBLIC_CACHE_CONTROL: Final = "public, max-age=31536000, immutable"
PRIVATE_CACHE_CONTROL: Final = "no-store"


class ObjectMissingError(LookupError):
    """There is no object under this key."""


class StoreUnavailableError(Exception):
    """The store does not answer, or refuses us. No image is at fault: try again, then leave the process."""


@dataclass(frozen=True, slots=True)
class ObjectHeaders:
    """What an object is served with."""

    content_type: str
    cache_control: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing shows it: its key, and when it was last put."""

    key: str
    modified_at: datetime


class ObjectStore(Protocol):
    """One bucket or folder. Keys are relative paths of ASCII letters, digits and `._-/`.

    No part of a key begins with a dot, and no object's key is another one's folder.
    Raises `ValueError` for any other key (`..` above all), `StoreUnavailableError` when it fails.
    """

    async def put(
        self, key: str, data: bytes, headers: ObjectHeaders, *, if_absent: bool = False
    ) -> bool:
        """Stores the bytes as a whole or not at all. With `if_absent`, False if the key was taken."""
        ...

    async def get(self, key: str) -> bytes:
        """The whole object. Raises `ObjectMissingError`."""
        ...

    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The object in chunks of at most 1 MiB. Raises `ObjectMissingError`."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether the object can be read."""
        ...

    async def delete(self, key: str) -> None:
        """Removes the object; an absent one is no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Listed]:
        """Every object whose key begins with `prefix`, in the order of the keys, page by page.

        An empty prefix is all of them. What is put or deleted meanwhile may or may not be among them.
        """
        ...

    async def delete_folder(self, folder: str) -> None:
        """Removes every object whose key begins with `folder` and a slash; none is no error.

        What is put there meanwhile may stay.
        """
        ...

    def reading(self, key: str) -> AbstractAsyncContextManager[int]:
        """An open file descriptor with the object's bytes, at offset 0: a file's own, or a memfd's.

        So that a child process can read the object without a key to the store. Raises `ObjectMissingError`.
        """
        ...

    def writing(self, key: str, headers: ObjectHeaders) -> AbstractAsyncContextManager[int]:
        """An empty, writable file descriptor whose bytes become the object when the block ends well.

        When the block raises, nothing is stored.
        """
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...
