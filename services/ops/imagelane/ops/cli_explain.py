"""`imagelane explain`: why something waits, and what happens next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
import typer

from imagelane.ops.client.asking import ask
from imagelane.ops.client.connection import AsJson, GatewayUrl, KeyFile, connection
from imagelane.ops.client.core.answers import Freshness, Image, Job, Lane, Page, Trail, read
from imagelane.ops.client.core.explaining import explain as explained
from imagelane.ops.client.core.explanation import Facts
from imagelane.ops.client.core.ids import is_image, is_job
from imagelane.ops.client.gateway import Gateway, NotFoundError, quoted

MANY_JOBS: Final = 100
OPEN: Final = ("running", "accepted")


def explain(
    what: Annotated[str, typer.Argument(help="An image (JOB:INDEX), a job's id, or a customer.")],
    *,
    gateway: GatewayUrl = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Why it waits, and what happens next, in one paragraph."""
    facts = ask(connection(gateway, api_key_file), lambda api: _facts(api, what))
    told = explained(facts)
    if as_json:
        typer.echo(msgspec.json.encode(told))
    else:
        typer.echo(f"{told.subject} ({told.state}): {told.paragraph}")


async def _facts(api: Gateway, what: str) -> Facts:
    """Everything that the explanation needs; few questions, however much there is."""
    trail = job = None
    image = is_image(what)
    if image is not None or is_job(what):
        job_id = image["job"] if image is not None else what
        job = read(await api.get(f"/v1/jobs/{job_id}"), Job)
        trail = None if image is None else await _trail(api, what, job)
    customer = what if job is None else job.customer_id
    others = await _open_jobs(api, customer)
    waiting = trail if image is not None else await _first_waiting(api, [job] if job else others)
    lane = await _lane(api, customer, must_exist=job is None and not others)
    return Facts(
        now=datetime.now(UTC),
        customer_id=customer,
        trail=trail,
        job=job,
        image_id=what if image is not None and trail is None else None,
        lane=lane,
        others=[one for one in others if job is None or one.job_id != job.job_id],
        server=None if waiting is None else waiting.server,
        behind=read(await api.get("/v1/freshness"), Freshness).behind,
    )


async def _trail(api: Gateway, image_id: str, job: Job) -> Trail | None:
    """None for an image that intake may not have come to yet."""
    try:
        return read(await api.get(f"/v1/images/{image_id}"), Trail)
    except NotFoundError as error:
        if job.images is not None and int(image_id.partition(":")[2]) >= job.images:
            raise NotFoundError(
                f"there is no image {image_id}: the job has {job.images:,}, counted from 0"
            ) from error
        return None


async def _lane(api: Gateway, customer: str, *, must_exist: bool) -> Lane | None:
    try:
        return read(await api.get(f"/v1/lanes/{quoted(customer)}"), Lane)
    except NotFoundError as error:
        if must_exist:
            raise NotFoundError(
                f"there is no image, job or customer {customer!r}, or it is another customer's"
            ) from error
        return None


async def _open_jobs(api: Gateway, customer: str) -> list[Job]:
    """The customer's, whose key may be the customer's own or an operator's."""
    found: list[Job] = []
    for status in OPEN:
        params = {"customer_id": customer, "status": status}
        items = api.items("/v1/jobs", params, limit=MANY_JOBS)
        found.extend([read(one, Job) async for one in items])
    return found


async def _first_waiting(api: Gateway, jobs: list[Job]) -> Trail | None:
    """The first image that the downloader has not come to, or not got yet, of the oldest job that has one."""
    waiting = [one for one in jobs if one.counts.requested > one.counts.downloaded]
    if not waiting:
        return None
    job = min(waiting, key=lambda one: one.accepted_at or datetime.max.replace(tzinfo=UTC))
    params = {"status": "requested", "limit": "1"}
    page = read(await api.get(f"/v1/jobs/{job.job_id}/images", params), Page)
    if not page.items:
        return None
    return await _trail(api, read(page.items[0], Image).image_id, job)
