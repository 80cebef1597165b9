"""Removing what there is of a job: its list, marks, originals and results."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from imagelane.core.destinations import Destination
from imagelane.core.recipes import originals_folder, result_folder
from imagelane.intake.core.marks import Mark
from imagelane.intake.frozen_lists import Found, FrozenLists
from imagelane.platform.stores import Stores


class Removal:
    """Every step finds out by itself what is left, so whoever was interrupted begins anew.

    All methods raise `StoreUnavailableError`.
    """

    def __init__(
        self, stores: Stores, lists: FrozenLists, destinations: Mapping[str, Destination]
    ) -> None:
        self._stores = stores
        self._lists = lists
        self._destinations = destinations
        self._log = structlog.get_logger("imagelane.intake")

    async def delete(self, key: str) -> None:
        """Removes everything of a finished job of which nothing is under way; its key stays used up."""
        header = await self._lists.header(key)
        if header is not None:
            if header.destination in self._destinations:
                await self._remove_results(header.destination, header.job_id)
            else:
                self._log.error(
                    "results.left",
                    job_id=header.job_id,
                    destination=header.destination,
                    reason="no destination of this name is in the settings any more",
                )
            await self._stores.private.delete_folder(originals_folder(header.job_id))
        await self._lists.remove(key)

    async def forget(self, key: str, found: Found) -> None:
        """Removes what is private of a job that was over long ago, or never was.

        Of a deleted one the results once more: a worker that had slept may have put some back.
        """
        job_id = key.rpartition("/")[2]
        if None not in found or Mark.DELETED in found:
            for name in self._destinations:
                await self._remove_results(name, job_id)
        await self._stores.private.delete_folder(originals_folder(job_id))
        await self._lists.forget(key, found)

    async def _remove_results(self, destination: str, job_id: str) -> None:
        prefix = self._destinations[destination].prefix
        await self._stores.destination(destination).delete_folder(prefix + result_folder(job_id))
