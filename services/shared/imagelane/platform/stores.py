"""The deployment's object stores, opened from the settings: the private part and the destinations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from imagelane.core.destinations import Destination
from imagelane.core.presigning import Presigner
from imagelane.platform.directory_store import DirectoryStore
from imagelane.platform.settings import variable_of
from imagelane.platform.store import ObjectStore, StoreUnavailableError
from imagelane.platform.store_settings import DestinationSettings, S3Settings, StoreSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

__all__: Final = ["DirectoryStore", "Stores", "destinations_of"]

LEFTOVER_SECONDS: Final = (
    3_600  # nobody takes so long for one object, or between a folder's first two
)


def destinations_of(settings: StoreSettings) -> dict[str, Destination]:
    """The destinations that jobs may name, as the pure core knows them."""
    return {
        name: Destination(name, one.prefix, one.public_base_url, _presigner_of(one, settings.s3))
        for name, one in settings.destinations.items()
    }


def _presigner_of(destination: DestinationSettings, s3: S3Settings) -> Presigner | None:
    secret = s3.secret()
    if destination.access == "public" or s3.access_key_id is None or secret is None:
        return None
    return Presigner(s3.access_key_id, secret, s3.region, destination.presigned_seconds)


class Stores:
    """Every store that the settings name, behind one shared S3 client if any of them is on S3."""

    def __init__(
        self,
        private: ObjectStore,
        destinations: Mapping[str, ObjectStore],
        resources: AsyncExitStack | None = None,
    ) -> None:
        self.private = private
        self._destinations = destinations
        self._resources = resources or AsyncExitStack()

    @classmethod
    async def open(cls, settings: StoreSettings) -> Self:
        """Makes missing directories and looks at each bucket. Raises `StoreUnavailableError`."""
        resources = AsyncExitStack()
        async with resources:
            opener = _Opener(settings, resources)
            private = await opener.open(
                settings.private_directory,
                settings.private_bucket,
                settings.private_prefix,
                variable_of(("store", "private_bucket")),
            )
            if isinstance(private, DirectoryStore):
                private.remove_empty_folders(before=time.time() - LEFTOVER_SECONDS)
            # A destination's prefix is part of `Destination.key`, and so not of the store.
            destinations = {
                name: await opener.open(
                    one.directory,
                    one.bucket,
                    "",
                    variable_of(("store", "destinations", name, "bucket")),
                )
                for name, one in settings.destinations.items()
            }
            resources = resources.pop_all()
        return cls(private, destinations, resources)

    def destination(self, name: str) -> ObjectStore:
        """The store behind a destination; its keys are `Destination.key`. Raises `KeyError`."""
        return self._destinations[name]

    async def close(self) -> None:
        """Ends all connections."""
        await self._resources.aclose()


class _Opener:
    """Opens directories at once, and the S3 client when the first bucket asks for it."""

    def __init__(self, settings: StoreSettings, resources: AsyncExitStack) -> None:
        self._settings = settings
        self._resources = resources
        self._client: S3Client | None = None

    async def open(
        self, directory: Path | None, bucket: str | None, prefix: str, variable: str
    ) -> ObjectStore:
        """`variable` is what says which bucket it is."""
        if bucket is not None:
            return await self._open_bucket(bucket, prefix, variable)
        if directory is None:
            raise ValueError("neither a directory nor a bucket: the settings refuse that")
        root = directory / prefix
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(f"cannot make the store's directory: {error}") from error
        store = DirectoryStore(root, fsync=self._settings.directory_fsync)
        store.remove_leftovers(before=time.time() - LEFTOVER_SECONDS)
        return store

    async def _open_bucket(self, bucket: str, prefix: str, variable: str) -> ObjectStore:
        # Here, so that an installation with directories only needs no aioboto3.
        from imagelane.platform import s3_store  # noqa: PLC0415 - see above

        if self._client is None:
            self._client = await self._resources.enter_async_context(
                s3_store.open_s3_client(self._settings.s3)
            )
        store = s3_store.S3Store(self._client, bucket, prefix=prefix)
        try:
            await store.probe()
        except StoreUnavailableError as error:
            raise StoreUnavailableError(f"{variable}: {error}") from error
        return store
