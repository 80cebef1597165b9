"""The four shapes of a submission's body, read into one: what is wanted, and the list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import aiohttp
import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from imagelane.contracts.parts import ListedImage
from imagelane.gateway.bodies import CHUNK_BYTES, Meter, Read, Spool, spooled
from imagelane.gateway.core.submission import (
    JsonWish,
    LineCount,
    ListedUrls,
    ListFormat,
    Wish,
    check_count,
)
from imagelane.gateway.parameters import decoded, from_json, from_query, from_texts
from imagelane.gateway.problems import Kind, Problem, invalid
from imagelane.gateway.settings import MIB, GatewaySettings

JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
FORMATS: Final = MappingProxyType[str, ListFormat | UnsetType](
    {
        "text/plain": "text",
        "text/csv": "csv",
        "application/octet-stream": UNSET,
        "application/gzip": UNSET,
        "application/x-gzip": UNSET,
    }
)
"""Of a list that is a body of its own. Where it is not told, its first character tells intake."""
SUFFIXES: Final = MappingProxyType[str, ListFormat](
    {".csv": "csv", ".json": "json", ".txt": "text"}
)
MAX_JSON_BYTES: Final = 16 * MIB
MAX_FIELD_BYTES: Final = 8_192
MAX_FIELDS: Final = 16
FILE: Final = "file"

_urls: Final = msgspec.json.Decoder(ListedUrls)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters at all."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A submission that is here to its last byte. The list is in `urls`, in `spool`, or at a URL."""

    wish: Wish
    urls: list[str | ListedImage] | UnsetType = UNSET
    raw_urls: bytes = b""
    spool: Spool | None = None


@asynccontextmanager
async def incoming(request: web.Request, settings: GatewaySettings) -> AsyncIterator[Incoming]:
    """Reads the body; the spool is gone after the block. Raises `Problem` or `RefusedWishError`."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            "send the body as it is; a list may be a gzip file of its own: application/gzip",
            field="Content-Encoding",
        )
    meter = Meter(request, settings)
    with ExitStack() as resources:
        if request.content_type == JSON:
            yield await _json(request, meter, resources, settings)
        elif request.content_type == FORM:
            from_query(request.query, Nothing)
            yield await _form(request, meter, resources, settings)
        elif request.content_type in FORMATS:
            wish = from_query(request.query, Wish)
            spool = resources.enter_context(
                spooled(LineCount(wish.list_format or FORMATS[request.content_type]))
            )
            yield await _list(request, meter, wish, spool, settings)
        else:
            raise _unsupported(request.content_type)


async def _list(
    request: web.Request, meter: Meter, wish: Wish, spool: Spool, settings: GatewaySettings
) -> Incoming:
    await _fill(spool, meter, request.content.readany, settings)
    return _whole(wish, spool, wish.list_format or FORMATS[request.content_type])


async def _json(
    request: web.Request, meter: Meter, resources: ExitStack, settings: GatewaySettings
) -> Incoming:
    """An object is a submission, an array the list itself."""
    body = bytearray()
    async for piece in meter.pieces(request.content.readany):
        body += piece
        if body.lstrip()[:1] == b"[":
            spool = resources.enter_context(spooled(LineCount("json")))
            spool.write(bytes(body))
            wish = from_query(request.query, Wish)
            await _fill(spool, meter, request.content.readany, settings)
            return _whole(wish, spool, "json")
        if len(body) > MAX_JSON_BYTES:
            raise Problem(
                Kind.BODY_TOO_LARGE,
                f"a JSON object may have {MAX_JSON_BYTES:,} bytes; send a longer list as a file",
            )
    from_query(request.query, Nothing)
    wish = from_json(bytes(body), JsonWish)
    if (wish.urls is UNSET) == (wish.list_url is UNSET):
        raise invalid("urls", "exactly one of `urls` and `list_url` is needed")
    if wish.urls is UNSET:
        return Incoming(wish)
    raw = bytes(wish.urls)
    urls: list[str | ListedImage] = decoded(_urls, raw, below="urls")
    check_count("urls", len(urls), settings.max_list_lines)
    return Incoming(wish, urls=urls, raw_urls=raw)


async def _form(
    request: web.Request, meter: Meter, resources: ExitStack, settings: GatewaySettings
) -> Incoming:
    texts: dict[str, str] = {}
    spool: Spool | None = None
    told: ListFormat | UnsetType = UNSET
    parts = await _parts(request)
    while (part := await _next(meter, parts)) is not None:
        if len(texts) + (spool is not None) == MAX_FIELDS:
            raise Problem(Kind.MALFORMED_BODY, f"the form has more than {MAX_FIELDS} parts")
        name = part.name or ""
        if name in texts or (name == FILE and spool is not None):
            raise invalid(name, "it is given more than once")
        if name == FILE:
            told = _format_of(part)
            spool = resources.enter_context(spooled(LineCount(told)))
            await _fill(spool, meter, _read_of(part), settings)
        else:
            texts[name] = await _text(meter, part, name)
    wish = from_texts(texts, Wish)
    if spool is None:
        raise invalid(FILE, "the list is needed as a part of this name")
    return _whole(wish, spool, wish.list_format or told)


async def _parts(request: web.Request) -> aiohttp.MultipartReader:
    try:
        return await request.multipart()
    except (ValueError, AssertionError, KeyError) as error:
        raise Problem(Kind.MALFORMED_BODY, "the form has no boundary") from error


async def _next(meter: Meter, parts: aiohttp.MultipartReader) -> aiohttp.BodyPartReader | None:
    found: list[aiohttp.BodyPartReader | aiohttp.MultipartReader | None] = []

    async def read() -> bytes:
        found.append(await parts.next())
        return b""

    await meter.read(read)
    part = found[0]
    if isinstance(part, aiohttp.MultipartReader):
        raise Problem(Kind.MALFORMED_BODY, "the form has parts within parts")
    return part


async def _text(meter: Meter, part: aiohttp.BodyPartReader, name: str) -> str:
    text = bytearray()
    async for piece in meter.pieces(_read_of(part)):
        text += piece
        if len(text) > MAX_FIELD_BYTES:
            raise invalid(name, f"it has more than {MAX_FIELD_BYTES:,} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise invalid(name, "it is not UTF-8") from error


def _format_of(part: aiohttp.BodyPartReader) -> ListFormat | UnsetType:
    name = (part.filename or "").lower()
    by_name = next((one for end, one in SUFFIXES.items() if name.endswith(end)), UNSET)
    kind = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    by_kind = "json" if kind == JSON else FORMATS.get(kind, UNSET)
    # curl calls every file it does not know `application/octet-stream` or `text/plain`.
    return by_name or by_kind


async def _fill(spool: Spool, meter: Meter, read: Read, settings: GatewaySettings) -> None:
    async for piece in meter.pieces(read):
        spool.write(piece)
        if spool.lines is not None:
            check_count(FILE, spool.lines or 1, settings.max_list_lines)


def _read_of(part: aiohttp.BodyPartReader) -> Read:
    return lambda: part.read_chunk(CHUNK_BYTES)


def _whole(wish: Wish, spool: Spool, told: ListFormat | UnsetType) -> Incoming:
    if spool.size_bytes == 0 or spool.lines == 0:
        check_count(FILE, 0, 1)
    return Incoming(msgspec.structs.replace(wish, list_format=told), spool=spool)


def _unsupported(content_type: str) -> Problem:
    known = ", ".join([JSON, FORM, *FORMATS])
    return Problem(
        Kind.UNSUPPORTED_MEDIA_TYPE,
        f"{content_type!r} is not read, only {known}",
        field="Content-Type",
    )
