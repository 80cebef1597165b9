"""`imagelane capacity`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops.capacity import showing
from imagelane.ops.capacity.model import Load
from imagelane.ops.capacity.model import capacity as computed
from imagelane.ops.client.connection import AsJson
from imagelane.ops.wide import wide_console

USUAL = Load(images_per_day=1.0)


def capacity(
    *,
    images_per_day: Annotated[float, typer.Option(min=1, help="Such as 1e7.")],
    megabytes_per_image: Annotated[
        float, typer.Option(min=0.001, max=100, help="Of an original, 10^6 bytes.")
    ] = USUAL.megabytes_per_image,
    result_megabytes: Annotated[
        float, typer.Option(min=0.001, max=100, help="Of one output.")
    ] = USUAL.result_megabytes,
    outputs: Annotated[int, typer.Option(min=1, max=20, help="Results per image.")] = USUAL.outputs,
    images_per_list: Annotated[
        int, typer.Option("--list", min=1, help="Images in a list.")
    ] = USUAL.images_per_list,
    calls: Annotated[int, typer.Option(min=1, help="Images in a call.")] = USUAL.images_per_call,
    peak: Annotated[
        float, typer.Option(min=1, max=24, help="The busiest hour against the mean one.")
    ] = USUAL.peak_factor,
    replication: Annotated[
        int, typer.Option(min=1, max=9, help="Copies in Kafka.")
    ] = USUAL.replication,
    result_days: Annotated[
        float, typer.Option(min=0, help="How long results are kept.")
    ] = USUAL.result_days,
    tracker_days: Annotated[
        float, typer.Option(min=1, help="How long jobs are tracked.")
    ] = USUAL.tracker_days,
    cores_per_processor: Annotated[
        int, typer.Option(min=1, max=256, help="Cores of one processor.")
    ] = USUAL.cores_per_processor,
    as_json: AsJson = False,
) -> None:
    """What so many images a day need: services, partitions, brokers, store, database; and what breaks first."""
    load = replace(
        USUAL,
        images_per_day=images_per_day,
        megabytes_per_image=megabytes_per_image,
        result_megabytes=result_megabytes,
        outputs=outputs,
        images_per_list=images_per_list,
        images_per_call=calls,
        peak_factor=peak,
        replication=replication,
        result_days=result_days,
        tracker_days=tracker_days,
        cores_per_processor=cores_per_processor,
    )
    found = computed(load, read_topic_files(schemas_folder()))
    if as_json:
        typer.echo(msgspec.json.encode(showing.as_json(found)).decode())
        return
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    for name, words in showing.ROWS:
        shown.add_row(name, words(found))
    console = wide_console()
    console.print(shown)
    for line in showing.broken(found):
        console.print(f"breaks: {line}", markup=False)
