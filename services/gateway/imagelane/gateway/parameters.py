"""Parameters of a request, from text to typed values; each error names the one that is at fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from multidict import MultiMapping

from imagelane.gateway.problems import Kind, Problem, invalid

Wanted = TypeVar("Wanted", bound=msgspec.Struct)

_at: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$").search
_named: Final = re.compile(r"(?:unknown|required) field `(?P<name>[^`]*)`").search
MAX_SHOWN_CHARS: Final = 300
NO_WORD: Final = "Invalid enum value"


def from_query(query: MultiMapping[str], wanted: type[Wanted]) -> Wanted:
    """The parameters of a URL, all of them. Raises `Problem`, also for one that is not known."""
    return from_texts(_single(query), wanted)


def from_texts(texts: Mapping[str, str], wanted: type[Wanted]) -> Wanted:
    """Parameters that came as texts; numbers and times are read from them. Raises `Problem`.

    An optional parameter that is no text is `UnsetType` and not `None`, which the word `null` would be.
    """
    try:
        return msgspec.convert(dict(texts), wanted, strict=False)
    except msgspec.ValidationError as error:
        raise _problem(error, choices=_choices(wanted)) from error


def from_json(body: bytes, wanted: type[Wanted]) -> Wanted:
    """A JSON object. Raises `Problem`: 400 where it is no JSON, 422 where it is not the right one."""
    found: Wanted = decoded(msgspec.json.Decoder(wanted), body)
    return found


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes, *, below: str = "") -> Any:
    """As `from_json`, for any type. `below` is the field that the body is the value of."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _problem(error, below) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Problem(Kind.MALFORMED_BODY, f"the body is not valid JSON: {error}") from error


def _single(query: MultiMapping[str]) -> dict[str, str]:
    for name in query:
        if len(query.getall(name)) > 1:
            raise invalid(name, "it is given more than once")
    return dict(query.items())


def _choices(wanted: type[msgspec.Struct]) -> dict[str, str]:
    """The words that each parameter may be, where these are a closed list."""
    return {
        field.encode_name: ", ".join(map(str, one.values))
        for field in msgspec.inspect.type_info(wanted).fields  # type: ignore[attr-defined] # it is a struct's
        for one in getattr(field.type, "types", (field.type,))
        if isinstance(one, msgspec.inspect.LiteralType)
    }


def _problem(
    error: msgspec.ValidationError, below: str = "", choices: Mapping[str, str] | None = None
) -> Problem:
    text = str(error)
    at, named = _at(text), _named(text)
    path = [
        part for part in (below, at["path"] if at else "", named["name"] if named else "") if part
    ]
    detail = text[: at.start()] if at else text
    field = ".".join(path).replace(".[", "[") or "body"
    if choices and field in choices and detail.startswith(NO_WORD):
        detail = f"{detail}: it is one of {choices[field]}"
    return invalid(field[:MAX_SHOWN_CHARS], detail[:MAX_SHOWN_CHARS])
