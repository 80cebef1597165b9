"""`GET /v1/jobs/{job_id}/results`: all of a job's result URLs, streamed; memory does not grow with the list."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from imagelane.core.api_keys import Caller
from imagelane.gateway.core.results_text import csv_header, csv_lines, ndjson
from imagelane.gateway.looking import Looking
from imagelane.gateway.parameters import from_query
from imagelane.gateway.problems import BEGUN
from imagelane.gateway.signing import Signing
from imagelane.gateway.status import Status

CHUNK_IMAGES: Final = 1_000
CONTENT_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class ResultsWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which form. Without it, `Accept` decides, and lines of JSON are the default."""

    format: Literal["ndjson", "csv"] | UnsetType = UNSET


class Results:
    """Images that have no outcome yet are in it too, with the step that they have passed."""

    def __init__(self, looking: Looking, status: Status, signing: Signing) -> None:
        self._signing = signing
        self._looking = looking
        self._status = status

    async def download(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """An answer that breaks off is not whole: its last chunk is missing."""
        wanted = from_query(request.query, ResultsWanted).format or _accepted(request)
        job = await self._looking.find_job(request, caller)
        queries = await self._status.queries()
        response = web.StreamResponse(
            headers={
                "Content-Type": CONTENT_TYPES[wanted],
                "Content-Disposition": f'attachment; filename="{job.job_id}.{wanted}"',
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Vary": "Accept",
            }
        )
        await response.prepare(request)
        request[BEGUN] = True
        if request.method == "HEAD":
            return response
        if wanted == "csv":
            await response.write(csv_header())
        text = csv_lines if wanted == "csv" else ndjson
        async for images in queries.results(
            job.job_id, customer_id=caller.customer_id, chunk=CHUNK_IMAGES
        ):
            await response.write(text(self._signing.results(images)))
        await response.write_eof()
        return response


def _accepted(request: web.Request) -> Literal["ndjson", "csv"]:
    accept = request.headers.get("Accept", "").lower()
    csv_at, json_at = accept.find("text/csv"), accept.find("json")
    return "csv" if csv_at >= 0 and (json_at < 0 or csv_at < json_at) else "ndjson"
