"""The object store of a stack on this machine: a folder that the gateway serves, or a real S3 server."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from imagelane.ops import versitygw
from imagelane.ops.broker.server import HOST
from imagelane.ops.buckets import prepare_buckets
from imagelane.ops.local_stack import LocalOptions, LocalSetupError, ObjectStoreKind, ResultAccess
from imagelane.ops.supervisor import Program, Say, Supervisor
from imagelane.platform.store_settings import DestinationSettings, S3Settings, StoreSettings

NAME: Final = "s3"
ACCESS_KEY_ID: Final = "imagelane"
PRIVATE_BUCKET: Final = "private"
RESULTS_BUCKET: Final = "results"
READY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class LocalStore:
    """Where objects lie: what services are told, the results' public address, and their folder."""

    environment: dict[str, str]
    public_base_url: str
    results: Path


def in_directory(options: LocalOptions, gateway_url: str) -> LocalStore:
    """Folders below the data's. Raises `LocalSetupError` if its objects lie in S3."""
    data = options.data.absolute()
    if options.result_access == "presigned":
        raise LocalSetupError(
            "--result-access presigned: only S3 knows signed URLs: --object-store s3"
        )
    _refuse_other(data, "directory", data / NAME)
    results, public_base_url = data / "results", f"{gateway_url}/public/default"
    destination = {
        "kind": "directory",
        "directory": str(results),
        "public_base_url": public_base_url,
    }
    environment = {
        "IMAGELANE_STORE__PRIVATE_DIRECTORY": str(data / "private"),
        "IMAGELANE_STORE__DESTINATIONS": json.dumps({"default": destination}),
    }
    return LocalStore(environment, public_base_url, results)


async def in_s3(
    options: LocalOptions, *, port: int, secret_file: Path, supervisor: Supervisor, tell: Say
) -> LocalStore:
    """A versitygw that is ready, with its buckets. Raises `LocalSetupError`."""
    data = options.data.absolute()
    _refuse_other(data, "s3", data / "private")
    program = await asyncio.to_thread(versitygw.find, options.cache, lambda text: tell(NAME, text))
    folder = data / NAME
    folder.mkdir(parents=True, exist_ok=True)
    arguments, environment = versitygw.command(
        program, folder, port=port, access_key_id=ACCESS_KEY_ID, secret_file=secret_file
    )
    supervisor.start(Program(NAME, arguments, environment))
    endpoint_url = f"http://{HOST}:{port}"
    await _until_healthy(f"{endpoint_url}{versitygw.HEALTH}", supervisor, data)
    settings = _settings(endpoint_url, secret_file, options.result_access)
    await prepare_buckets(settings, say=lambda text: tell(NAME, text))
    tell(NAME, f"versitygw answers at {endpoint_url}")
    base = settings.destinations["default"].public_base_url
    return LocalStore(_environment(settings), base, folder / RESULTS_BUCKET)


def _settings(endpoint_url: str, secret_file: Path, access: ResultAccess) -> StoreSettings:
    results = DestinationSettings(
        kind="s3",
        bucket=RESULTS_BUCKET,
        access=access,
        public_base_url=f"{endpoint_url}/{RESULTS_BUCKET}",
    )
    return StoreSettings(
        private_kind="s3",
        private_bucket=PRIVATE_BUCKET,
        destinations={"default": results},
        s3=S3Settings(
            endpoint_url=endpoint_url,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key_file=secret_file,
            path_style=True,
        ),
    )


def _environment(settings: StoreSettings) -> dict[str, str]:
    """The same settings, as variables."""
    told = settings.model_dump(mode="json", exclude_defaults=True)
    return {
        f"IMAGELANE_STORE__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in told.items()
    }


def _refuse_other(data: Path, wanted: ObjectStoreKind, other: Path) -> None:
    """Accepted lists and originals do not move from one store to another by themselves."""
    if other.exists():
        raise LocalSetupError(
            f"--object-store {wanted}: the objects of {data} lie in {other}, as another kind of store."
            " Choose another data folder, or the kind that it was begun with"
        )


async def _until_healthy(url: str, supervisor: Supervisor, data: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url) as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            if time.monotonic() > deadline:
                raise LocalSetupError(
                    f"versitygw did not start within {READY_SECONDS:.0f} s"
                    f" ({supervisor.starts[NAME]} times tried); see {data / 'logs' / NAME}.log"
                )
            await asyncio.sleep(0.05)
