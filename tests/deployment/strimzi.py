"""Strimzi's resources that follow from the topic files: `python -m tests.deployment.strimzi --check|--write`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from imagelane.contracts.topic_files import TopicFile, read_topic_files, schemas_folder
from imagelane.ops.access import Rule, principals, rules_of

COMPONENTS: Final = Path(__file__).parents[2] / "k8s" / "components"
HEAD: Final = "# Made from schemas/topics by `python -m tests.deployment.strimzi --write`.\n"
API: Final = "kafka.strimzi.io/v1"
LABELS: Final = {"strimzi.io/cluster": "imagelane"}
PARTITIONS: Final = {"strict": 24, "spread": 48, "single": 1}
"""As the base's settings say; a test compares them."""
REPLICAS: Final = 3

Resource = dict[str, Any]


def topic_resource(topic: TopicFile) -> Resource:
    """The topic as Strimzi's topic operator makes it."""
    return {
        "apiVersion": API,
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": LABELS},
        "spec": {
            "partitions": PARTITIONS[topic.partitioning],
            "replicas": REPLICAS,
            "config": topic.config,
        },
    }


def user_resource(service: str, topics: Iterable[TopicFile]) -> Resource:
    """The service as a principal, known by its certificate, with all that it may do."""
    return {
        "apiVersion": API,
        "kind": "KafkaUser",
        "metadata": {"name": f"imagelane-{service}", "labels": LABELS},
        "spec": {
            "authentication": {"type": "tls"},
            "authorization": {
                "type": "simple",
                "acls": [_acl(one) for one in rules_of(service, topics)],
            },
        },
    }


def _acl(rule: Rule) -> Resource:
    resource: dict[str, str] = {"type": rule.kind}
    if rule.kind != "cluster":
        pattern = "prefix" if rule.prefix else "literal"
        resource |= {"name": rule.name, "patternType": pattern}
    return {"resource": resource, "operations": list(rule.operations)}


def files() -> dict[Path, str]:
    """Each file's text as it should be."""
    topics = list(read_topic_files(schemas_folder()).values())
    users = [user_resource(service, topics) for service in principals(topics)]
    return {
        COMPONENTS / "strimzi" / "topics.yaml": _text(map(topic_resource, topics)),
        COMPONENTS / "kafka-secured" / "users.yaml": _text(users),
    }


def _text(resources: Iterable[Resource]) -> str:
    return HEAD + yaml.dump_all(resources, Dumper=_Plain, sort_keys=False, width=100)


class _Plain(yaml.SafeDumper):
    """Writes what is the same twice, instead of an anchor and a reference."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where a file is not current."""
    parser = argparse.ArgumentParser(prog="tests.deployment.strimzi", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="name the files that are not current")
    action.add_argument("--write", action="store_true", help="write them")
    options = parser.parse_args(arguments)
    stale = {
        path: text
        for path, text in files().items()
        if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        if options.write:
            path.write_text(text)
        sys.stderr.write(f"{path}: {'written' if options.write else 'not current'}\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
