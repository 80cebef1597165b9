"""The programs of a stack on this machine but those it stands on: every service, and the stand-in API."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imagelane.ops.local_kafka import environment_for
from imagelane.ops.local_stack import SERVICES, LocalOptions, LocalStack, worker_names
from imagelane.ops.supervisor import Program


def programs(stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]) -> list[Program]:
    """Every process but broker, object store and database."""
    environment = _environment(stack, ports, keys)
    made = []
    if stack.options.batch_api_url is None:
        made.append(_standin(stack, ports, keys))
    signing = {"IMAGELANE_NOTIFY_SIGNING__SECRET_FILES": json.dumps([str(keys["notify"])])}
    made.append(
        _service(
            "gateway",
            "gateway",
            environment
            | environment_for(stack.kafka, "gateway")
            | _health(stack, "gateway")
            | signing,
        )
    )
    for service in SERVICES:
        for name in stack.names_of(service):
            own = {"IMAGELANE_DISPATCHER__WORKER_NAME": name} if service == "dispatcher" else {}
            own |= signing if service == "notifier" else {}
            own |= environment_for(stack.kafka, service)
            for whose in dict.fromkeys((service, name)):
                own |= stack.options.environment_of.get(whose, {})
            made.append(_service(service, name, environment | _health(stack, name) | own))
    return made


def operator_environment(
    stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]
) -> dict[str, str]:
    """What commands beside the stack need to know: all that services share, as the operator."""
    signing = {"IMAGELANE_NOTIFY_SIGNING__SECRET_FILES": json.dumps([str(keys["notify"])])}
    return _environment(stack, ports, keys) | signing | environment_for(stack.kafka, "ops")


def workers_of(options: LocalOptions) -> list[str]:
    """The names of all processes that have a health port."""
    counts = options.workers
    named = [worker_names(service, counts.get(service, 1)) for service in SERVICES]
    return ["gateway", *(name for names in named for name in names)]


def _service(service: str, name: str, environment: dict[str, str]) -> Program:
    command = (sys.executable, "-m", f"imagelane.{service}")
    return Program(name, command, environment)


def _standin(stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]) -> Program:
    wanted = stack.options.standin
    values = {
        "--journal": stack.journal,
        "--port": ports["standin"],
        "--level": wanted.level,
        "--base-seconds": wanted.base_seconds,
        "--per-url-seconds": wanted.per_url_seconds,
        "--fetch": wanted.fetch,
        "--webhook-secret-file": keys["webhook"],
        "--token-file": keys["token"],
    }
    arguments = [str(part) for pair in values.items() for part in pair]
    command = (sys.executable, "-m", "imagelane.standin", *arguments, *wanted.arguments)
    return Program("standin", command)


def _environment(stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]) -> dict[str, str]:
    names = {
        "DEPLOYMENT_ID": stack.options.deployment_id,
        "KAFKA__BOOTSTRAP_SERVERS": stack.kafka.bootstrap_servers,
        "KAFKA__STRICT_PARTITIONS": str(stack.kafka.strict_partitions),
        "KAFKA__SPREAD_PARTITIONS": str(stack.kafka.spread_partitions),
        "INTAKE__DEPLOYMENT_SECRET_FILE": str(keys["deployment"]),
        "GATEWAY__PORT": str(ports["gateway"]),
        "GATEWAY__DEPLOYMENT_SECRET_FILE": str(keys["deployment"]),
        "GATEWAY__WEBHOOK_SECRET_FILES": json.dumps([str(keys["webhook"])]),
        "NOTIFY__ALLOW_HTTP": "true",
        "DISPATCHER__CAPABILITIES": stack.options.standin.level,
        "BATCH_API__BASE_URL": stack.batch_api_url,
        "BATCH_API__TOKEN_FILE": str(keys["token"]),
    }
    if stack.options.webhooks:
        names["DISPATCHER__CALLBACK_URL"] = f"{stack.gateway_url}/v1/callbacks/batch"
    if stack.options.loopback_sources:
        names["HTTP__ALLOWED_NETWORKS"] = json.dumps(["127.0.0.0/8"])
    own = {f"IMAGELANE_{name}": value for name, value in names.items()}
    return own | stack.environment | stack.options.environment


def _health(stack: LocalStack, name: str) -> dict[str, str]:
    return {"IMAGELANE_HEALTH__PORT": str(stack.health_ports[name])}
