"""`docs/failures.md`: the closed list of failure codes, from `imagelane.core.failures`."""

from __future__ import annotations

from typing import Final

from imagelane.core.failures import MEANINGS, Stage
from imagelane.ops.schema_words import table

_HEAD: Final = """\
# Failure codes

Made from `imagelane.core.failures` by `python -m imagelane.ops.reference --write`.

Every image that does not end as a result ends with one of these codes, and so does every list that does not become
a job. The list is closed: there are no others. The *reason* is what events, the API and the dashboard show; sometimes
a detail follows it: the customer's own text, a status or a limit, never an address, a port or a server's words.
*Tried again*: whether the failure was met in several tries, with growing pauses, before it was told.
"""
_STAGES: Final = {
    Stage.DOWNLOAD: "Images that could not be downloaded",
    Stage.IMAGE: "Images that could not be processed",
    Stage.LIST: "Lists that did not become a job",
}
_COLUMNS: Final = ("code", "reason", "tried again", "what to do")


def page() -> str:
    """The whole page, a table for each stage."""
    sections = [_HEAD]
    for stage, title in _STAGES.items():
        rows = [
            (f"`{code}`", one.reason, one.retried.value, one.advice)
            for code, one in MEANINGS.items()
            if one.stage is stage
        ]
        sections.append(f"## {title}\n\n{table(_COLUMNS, rows)}")
    return "\n".join(sections)
