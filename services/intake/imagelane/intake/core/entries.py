"""One entry of a list, as intake keeps it: in memory, and as a line of the frozen copy."""

from __future__ import annotations

import re
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from imagelane.contracts.events import MAX_URL_CHARS
from imagelane.contracts.parts import Failure
from imagelane.core.failures import Code, failure

MAX_GROUP_CHARS: Final = 255
MAX_POSITION: Final = 2**31 - 1

# U+FFFD is what undecodable bytes become on their way here; lone surrogates come from JSON escapes.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
_NOT_TEXT: Final = re.compile("[\ufffd\ud800-\udfff]")


class ListEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One image of a list. With a `defect` it is no URL at all, but it keeps its index."""

    url: str
    group: str | UnsetType = UNSET
    position: int | UnsetType = UNSET
    defect: Failure | UnsetType = UNSET


def entry_of(url: object, group: object = UNSET, position: object = UNSET) -> ListEntry:
    """The entry behind values of any type, as JSON or CSV brought them. Never raises.

    A defect is told for what no event can carry: text that is not UTF-8, control characters, more
    than 2,048 characters (the first 2,048 are kept), a group or position outside its bounds.
    Whether a URL may be fetched is not asked here: the downloader's admission does.
    """
    wrong = _wrong_url(url) or _wrong_group(group) or _wrong_position(position)
    return ListEntry(
        url=_kept(url),
        group=group if isinstance(group, str) and not _wrong_group(group) else UNSET,
        position=position if isinstance(position, int) and not _wrong_position(position) else UNSET,
        defect=failure(Code.URL_REFUSED, wrong) if wrong else UNSET,
    )


def _wrong_url(url: object) -> str:
    if not isinstance(url, str):
        return "the entry is neither a string nor an object with `url`"
    if not url:
        return "it is empty"
    if len(url) > MAX_URL_CHARS:
        return f"it is longer than {MAX_URL_CHARS:,} characters"
    return _unfit(url)


def _wrong_group(group: object) -> str:
    if group is UNSET:
        return ""
    if not isinstance(group, str) or not 1 <= len(group) <= MAX_GROUP_CHARS:
        return f"its `group` is not a text of 1 to {MAX_GROUP_CHARS} characters"
    return "its `group` is not valid UTF-8" if _NOT_TEXT.search(group) else ""


def _wrong_position(position: object) -> str:
    if position is UNSET:
        return ""
    if (
        isinstance(position, int)
        and not isinstance(position, bool)
        and 0 <= position <= MAX_POSITION
    ):
        return ""
    return f"its `position` is not a whole number from 0 to {MAX_POSITION}"


def _unfit(text: str) -> str:
    found = _UNFIT.search(text)
    if found is None:
        return ""
    if _NOT_TEXT.match(found.group()):
        return "it is not valid UTF-8"
    return f"it has a control character (U+{ord(found.group()):04X})"


def _kept(url: object) -> str:
    if not isinstance(url, str):
        return ""
    return url[:MAX_URL_CHARS].encode("utf-8", "replace").decode()
