"""The demo's summary: pace by stage, each lane's calls on a time axis, failures, and the verdict."""

from __future__ import annotations

import json
import re
from typing import Final

from rich.console import Console
from rich.table import Table

from imagelane.contracts.topics import DOWNLOADED, PROCESSED, REQUESTED
from imagelane.core.recipes import RECIPES, result_path
from imagelane.ops.local import LocalStack
from imagelane.ops.watching import JobWatch
from imagelane.standin import journal
from imagelane.standin.judge import Expected, Verdict, judge
from imagelane.standin.timeline import Span, timeline

AXIS_CHARS: Final = 60
SIGNATURE: Final = re.compile(r"\?X-Amz-[^\"]*")
RECIPE: Final = RECIPES["default"]


def print_summary(stack: LocalStack, lists: list[tuple[str, int]], jobs: list[JobWatch]) -> int:
    """Prints everything; 0 if nothing was lost, doubled or overlapped, else 1."""
    console = Console(highlight=False, width=max(100, Console().width))
    entries = journal.read(stack.journal) if stack.journal.exists() else []
    if stack.options.result_access == "presigned":
        entries = [_without_signatures(entry) for entry in entries]
    _print_stages(console, jobs)
    _print_lanes(console, timeline(entries))
    _print_failures(console, jobs)
    problems = _unfinished(lists, jobs)
    verdict = judge(entries, expected_of(stack, lists, jobs))
    _print_verdict(console, verdict)
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    console.print(f"\nresults  {stack.results}\nlogs     {stack.logs}\njournal  {stack.journal}")
    kept = not problems and verdict.kept
    good = "[green]nothing lost, nothing doubled, never two calls of one customer[/green]"
    console.print(good if kept else "[red]a promise was broken[/red]")
    return 0 if kept else 1


def _without_signatures(entry: journal.Entry) -> journal.Entry:
    """A signed URL as its address: the judge is told which addresses there must be."""
    bare: journal.Entry = json.loads(SIGNATURE.sub("", json.dumps(entry)))
    return bare


def expected_of(stack: LocalStack, lists: list[tuple[str, int]], jobs: list[JobWatch]) -> Expected:
    """What the judge must find: every line of every list, by the public URL that it would have."""
    base = stack.public_base_url
    wanted: dict[str, list[str]] = {}
    failed: dict[str, list[str]] = {}
    for customer, lines in lists:
        for job in (job for job in jobs if job.customer_id == customer):
            paths = [result_path(job.job_id, index, RECIPE.outputs[0]) for index in range(lines)]
            wanted[customer] = [f"{base}/{path}" for path in paths]
            failed[customer] = [wanted[customer][index] for index in sorted(job.failed_indexes)]
    return Expected(expected=wanted, failed=failed)


def _unfinished(lists: list[tuple[str, int]], jobs: list[JobWatch]) -> list[str]:
    problems = []
    for customer, lines in lists:
        job = next((job for job in jobs if job.customer_id == customer), None)
        if job is None or not job.ended:
            problems.append(f"{customer}: the job did not finish")
        elif job.refused is not None:
            problems.append(f"{customer}: refused: {job.refused.reason}")
        elif len({str(one) for one in job.finished}) != 1:
            problems.append(f"{customer}: finished was told with different numbers")
        else:
            end = job.finished[0]
            if not lines == end.images == end.delivered + end.failed + end.cancelled:
                problems.append(f"{customer}: {lines} lines, but finished says {end}")
    return problems


def _print_stages(console: Console, jobs: list[JobWatch]) -> None:
    table = Table("stage", "images", "failed", "images/s", title="Stages", title_justify="left")
    for topic in (REQUESTED, DOWNLOADED, PROCESSED):
        stages = [job.stages[topic] for job in jobs if job.stages[topic].images]
        images = sum(stage.images for stage in stages)
        seconds = (
            max(s.last_at for s in stages) - min(s.first_at for s in stages) if stages else 0.0
        )
        pace = f"{images / seconds:.1f}" if seconds else "-"
        table.add_row(topic, str(images), str(sum(stage.failed for stage in stages)), pace)
    console.print(table)


def _print_lanes(console: Console, lanes: dict[str, list[Span]]) -> None:
    end = max(
        (s.end_seconds or s.start_seconds for spans in lanes.values() for s in spans), default=1.0
    )
    start = min((spans[0].start_seconds for spans in lanes.values()), default=0.0)
    scale = AXIS_CHARS / max(end - start, 0.001)
    for customer, spans in lanes.items():
        axis = [" "] * AXIS_CHARS
        for n, span in enumerate(spans):
            first = int((span.start_seconds - start) * scale)
            last = int(((span.end_seconds or end) - start) * scale)
            for at in range(first, max(first + 1, min(last, AXIS_CHARS))):
                axis[min(at, AXIS_CHARS - 1)] = "█" if n % 2 == 0 else "▓"
        console.print(f"\n[bold]{customer}[/bold]  |{''.join(axis)}|  {len(spans)} calls")
        for span in spans:
            idle = (
                "first" if span.idle_seconds is None else f"idle {span.idle_seconds:.2f} s before"
            )
            seconds = (span.end_seconds or end) - span.start_seconds
            console.print(
                f"  at {span.start_seconds - start:6.2f} s  {span.images:4} images"
                f"  {seconds:5.2f} s  {span.status:9}  {idle}"
            )


def _print_failures(console: Console, jobs: list[JobWatch]) -> None:
    for job in jobs:
        if job.failures:
            console.print(f"\n[bold]{job.customer_id}[/bold]: failed images by reason")
            for reason, count in job.failures.most_common():
                console.print(f"  {count:4}  {reason}")


def _print_verdict(console: Console, verdict: Verdict) -> None:
    console.print("\n[bold]The judge, from the batch API's own journal[/bold]")
    for promise in verdict.promises:
        console.print(f"  {promise.name:8} {promise.word:12} {promise.checked}")
        for example in promise.examples:
            console.print(f"    [red]{example.name} {example.customer} {example.detail}[/red]")
