"""The API's answers as text for people. Nothing that came from a list is taken for markup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from imagelane.ops.client.core.answers import Image, Job, Notice, Step, Trail
from imagelane.ops.client.core.lane_words import images
from imagelane.ops.durations import spoken

JOB_COLUMNS = ("job", "customer", "status", "images", "processed", "delivered", "failed", "age")
RIGHT = frozenset({"images", "processed", "delivered", "failed", "age", "seconds", "after"})


def job_table(jobs: Iterable[Job], now: datetime) -> Table:
    """One line a job."""
    rows = (
        (
            job.job_id,
            job.customer_id,
            job.status,
            _number(job.images),
            f"{job.counts.processed:,}",
            f"{job.counts.delivered:,}",
            f"{job.counts.failed:,}",
            age(job.handed_in_at or job.accepted_at or job.refused_at, now),
        )
        for job in jobs
    )
    return _table(JOB_COLUMNS, rows)


def job_lines(job: Job) -> Iterator[str]:
    """All that is known of a job."""
    yield f"job         {job.job_id}"
    yield f"customer    {job.customer_id}"
    yield f"status      {job.status}{_cut_short(job)}"
    if job.refusal is not None:
        yield f"refused     {job.refusal.reason} ({job.refusal.code})"
    for name, at in (
        ("handed in", job.handed_in_at),
        ("accepted", job.accepted_at),
        ("sealed", job.sealed_at),
        ("deadline", job.deadline),
        ("finished", job.finished_at),
    ):
        if at is not None:
            yield f"{name:11} {moment(at)}"
    if job.notice is not None:
        yield f"notify_url  {_notice(job.notice)}"
    yield f"images      {_number(job.images) or 'not counted yet'}"
    counts = job.counts
    for name, count in (
        ("requested", counts.requested),
        ("downloaded", counts.downloaded),
        ("processed", counts.processed),
        ("delivered", counts.delivered),
        ("failed", counts.failed),
        ("cancelled", counts.cancelled),
    ):
        yield f"  {name:10}{count:>12,}"
    for one in job.failures:
        yield f"  {one.images:>22,}  {one.code}: {one.reason}"


def image_line(image: Image) -> str:
    """One image; columns are as wide as what usually stands in them."""
    return f"{image.index:>7}  {image.status:<10}  {image.code or '':<18}  {image.url or ''}"


def trail_lines(trail: Trail) -> Iterator[str]:
    """An image, and above the table of its steps what came of it."""
    image = trail.image
    yield f"image     {image.image_id}"
    yield f"customer  {trail.customer_id}"
    yield f"status    {image.status}" + (
        "" if image.code is None else f": {image.reason} ({image.code})"
    )
    yield f"from      {image.url or ''}"
    for output in image.outputs:
        size = f"{output.width}x{output.height}, {output.size_bytes:,} bytes"
        yield f"result    {output.url}  ({output.name}, {size})"
    yield f"trace     {trail.trace_id}"


def step_table(steps: list[Step]) -> Table:
    """Every step with its time, and the record that tells of it."""
    began = min((step.at for step in steps), default=datetime.now(UTC))
    rows = (
        (
            moment(step.at),
            f"{(step.at - began).total_seconds():+.3f} s",
            step.service,
            step.kind,
            "" if step.seconds is None else f"{step.seconds:.3f}",
            f"{step.topic}/{step.partition}/{step.offset}",
            _details(step),
        )
        for step in steps
    )
    return _table(("at", "after", "service", "step", "seconds", "record", ""), rows)


def moment(at: datetime) -> str:
    """In UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago that was."""
    return "" if since is None else spoken(now - since)


def _details(step: Step) -> str:
    told = [
        None if step.seq is None else f"call {step.seq}",
        None if step.round is None else f"round {step.round}",
        None if step.images is None else images(step.images),
        None if step.size_bytes is None else f"{step.size_bytes:,} bytes",
        step.outcome,
        step.code,
        None if step.decided_by is None else f"by {step.decided_by}",
    ]
    return ", ".join(text for text in told if text)


def _notice(notice: Notice) -> str:
    told = [notice.state, f"{notice.attempts} attempts"]
    if notice.last_result is not None:
        told.append(f"the last {notice.last_result}")
    if notice.next_at is not None:
        told.append(f"the next {moment(notice.next_at)}")
    return ", ".join(told)


def _cut_short(job: Job) -> str:
    if job.cut_short_by:
        return f", cut short by {job.cut_short_by}"
    return ", a cancel is asked for" if job.cancel_asked_at and not job.is_over else ""


def _number(images: int | None) -> str:
    return "" if images is None else f"{images:,}"


def _table(names: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
