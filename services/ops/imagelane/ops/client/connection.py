"""Which gateway is asked, with which key: options first, then variables, then what `imagelane local` has left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import Field, SecretStr
from yarl import URL

from imagelane.ops.command_line import fail
from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import EnvironmentSettings, load_or_exit

WRONG_USAGE: Final = 2
LOCAL_DATA: Final = Path("imagelane-data")
HOST: Final = "127.0.0.1"
_is_token: Final = re.compile(r"[\x21-\x7e]+").fullmatch

GatewayUrl = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        help="Its address, http(s)://…; IMAGELANE_GATEWAY_URL without it, else that of `imagelane local` here.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        help="A file with the API key; IMAGELANE_API_KEY (or …_FILE) without it, else that of `imagelane local` here.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="JSON, one object a line, on standard output.")
]


class ClientSettings(EnvironmentSettings):
    """What commands that ask the gateway read from the environment."""

    gateway_url: str | None = Field(default=None, description="Where the gateway is.")
    api_key: SecretStr | None = Field(default=None, description="The API key.")
    api_key_file: Path | None = Field(default=None, description="A file with the API key, instead.")


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway and a key for it. `key_from` says where the key was found, for messages."""

    url: URL
    key: SecretStr
    key_from: str


def connection(gateway: str | None = None, key_file: Path | None = None) -> Connection:
    """Ends the command with 2, by the parameter's name, where the gateway or the key is missing or wrong."""
    settings = load_or_exit(ClientSettings)
    local = local_gateway()
    url = _url(gateway, settings.gateway_url, local)
    key, key_from = _key(key_file, settings, is_local=url == local)
    if not _is_token(key):
        fail(f"{key_from} holds no API key", WRONG_USAGE)
    return Connection(url, SecretStr(key), key_from)


def is_named(gateway: str | None) -> bool:
    """Whether a gateway is known at all."""
    given = gateway or load_or_exit(ClientSettings).gateway_url or local_gateway()
    return given is not None


def local_gateway() -> URL | None:
    """The gateway of the `imagelane local` that keeps its data in this folder."""
    try:
        ports = json.loads((LOCAL_DATA / "ports.json").read_text("utf-8"))
        return URL.build(scheme="http", host=HOST, port=int(ports["gateway"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _url(option: str | None, variable: str | None, local: URL | None) -> URL:
    if option is not None:
        return _checked("--gateway", option)
    if variable:
        return _checked("IMAGELANE_GATEWAY_URL", variable)
    if local is None:
        fail(
            "no gateway is named: give --gateway or IMAGELANE_GATEWAY_URL,"
            f" or come to the folder where `imagelane local` keeps its {LOCAL_DATA}",
            WRONG_USAGE,
        )
    return local


def _checked(name: str, text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        fail(f"{name}: {text!r} is no http(s) address", WRONG_USAGE)
    if url.user is not None or url.query_string or url.fragment:
        fail(f"{name}: an address, without user, query and fragment", WRONG_USAGE)
    return url.with_path(url.path.rstrip("/"))


def _key(option: Path | None, settings: ClientSettings, *, is_local: bool) -> tuple[str, str]:
    """A key of this machine is for this machine's gateway only."""
    if option is not None:
        return _read("--api-key-file", option), f"the file {option}"
    if settings.api_key is not None and settings.api_key.get_secret_value():
        return settings.api_key.get_secret_value().strip(), "IMAGELANE_API_KEY"
    if settings.api_key_file is not None:
        file = settings.api_key_file
        return _read("IMAGELANE_API_KEY_FILE", file), f"the file {file}"
    local = LOCAL_DATA / "secrets" / "operator-key"
    if not (is_local and local.exists()):
        fail(
            "no API key is given: set IMAGELANE_API_KEY, or give --api-key-file;"
            " `imagelane keys create` makes one",
            WRONG_USAGE,
        )
    return _read("the key of `imagelane local`", local), f"the file {local}"


def _read(name: str, file: Path) -> str:
    try:
        return read_secret(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        fail(f"{name}: {file}: {reason}", WRONG_USAGE)
