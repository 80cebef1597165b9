"""Fetching a list by its URL: guarded, bounded, tried again, read as it comes."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import UNSET
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code, failure
from imagelane.intake.core.frozen import FrozenList, inline_entries
from imagelane.intake.core.lists import ListLimits, ListReader, shape_of
from imagelane.intake.core.refusals import ListRefusedError
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.uploads import UploadedLists, read_list
from imagelane.platform.guarded_http import FetchError, GuardedClient

ACCEPT: Final = "text/plain, text/csv, application/json, application/gzip;q=0.9, */*;q=0.5"
LONGEST_WAIT_SECONDS: Final = 30.0


class ListFetcher:
    """Turns a submission into its images, wherever they are."""

    def __init__(
        self, client: GuardedClient, uploads: UploadedLists, settings: IntakeSettings
    ) -> None:
        self._client = client
        self._uploads = uploads
        self._settings = settings
        self._limits = limits_of(settings)
        self._jitter = wait_random_exponential(
            multiplier=settings.fetch_backoff_seconds, max=LONGEST_WAIT_SECONDS
        )
        self._slots = asyncio.Semaphore(settings.fetches)

    async def images(self, submitted: ListSubmitted) -> FrozenList:
        """The list's images, ready to be frozen. Raises `ListRefusedError`.

        Failures that may pass are tried again with full jitter, no earlier than the server asked.
        """
        if submitted.upload_sha256 is not UNSET:
            async with self._slots:
                return await self._uploads.images(submitted)
        if submitted.list_url is UNSET:
            images = FrozenList()
            images.add(list(inline_entries(submitted)))
            return images
        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_transient),
            wait=self._wait_seconds,
            stop=stop_after_attempt(self._settings.fetch_attempts),
            reraise=True,
        )
        try:
            return await retrying(self._fetch, submitted, submitted.list_url)
        except FetchError as error:
            raise _refusal(error) from error

    async def forget(self, submitted: ListSubmitted) -> None:
        """The list is frozen or refused: an upload of it is needed no more."""
        await self._uploads.forget(submitted)

    async def _fetch(self, submitted: ListSubmitted, url: str) -> FrozenList:
        max_bytes = self._settings.max_fetched_bytes
        async with (
            self._slots,
            self._client.stream(url, accept=ACCEPT, max_bytes=max_bytes) as body,
        ):
            shape = shape_of(submitted, content_type=body.content_type, final_url=body.final_url)
            return await read_list(body.chunks(), ListReader(self._limits, shape))

    def _wait_seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_seconds if isinstance(error, FetchError) else None
        return (asked or 0.0) + self._jitter(state)  # never all at the moment that was asked for


def limits_of(settings: IntakeSettings) -> ListLimits:
    """How much a list may hold."""
    return ListLimits(max_lines=settings.max_list_lines, max_bytes=settings.max_list_bytes)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, FetchError) and error.transient


def _refusal(error: FetchError) -> ListRefusedError:
    if error.code is Code.TOO_LARGE:
        return ListRefusedError(Code.LIST_TOO_LARGE, error.detail)
    why = failure(error.code, error.detail).reason
    return ListRefusedError(Code.LIST_UNREADABLE, f"`list_url`: {why}")
