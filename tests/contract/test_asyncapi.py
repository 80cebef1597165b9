"""The AsyncAPI document is current and whole. Its own parser's word: `tests/contract/asyncapi/check.sh`."""

from collections.abc import Iterator
from typing import Any

import yaml

from imagelane.contracts.asyncapi import DEAD_LETTER
from imagelane.contracts.schemas import EVENTS, asyncapi_text
from imagelane.contracts.topic_files import read_topic_files, schemas_folder

FOLDER = schemas_folder()
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in the document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_document_is_what_the_schemas_and_topic_files_make_of_it() -> None:
    assert (FOLDER / "asyncapi.yaml").read_text() == asyncapi_text(FOLDER), "see `make schemas`"


def test_everything_that_the_document_refers_to_is_there() -> None:
    for reference in references(DOCUMENT):
        if reference.startswith("./"):
            assert (FOLDER / reference).is_file(), reference
            continue
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in found, reference
            found = found[step]


def test_every_event_and_every_topic_but_the_batchers_own_log_is_told() -> None:
    assert set(DOCUMENT["components"]["messages"]) == {*EVENTS, DEAD_LETTER}
    told = set(DOCUMENT["channels"])
    assert set(read_topic_files(FOLDER)) - told == {"imagelane-batcher-lanes-changelog"}


def test_every_message_of_a_channel_has_a_producer() -> None:
    sent = {
        operation["channel"]["$ref"]
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "send"
    }
    assert sent == {f"#/channels/{name}" for name in DOCUMENT["channels"]}
