"""What an error says to whoever runs a command: in words, and what to do where a broker does not let us."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException

REFUSALS: Final = frozenset(
    {
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    }
)
WHO_MAY: Final = (
    "the access lists do not let this login do that; commands go with the login `ops`"
    " (docs/kafka-security.md)"
)


def told(error: Exception) -> str:
    """The error in words; a broker's refusal with who would be let in."""
    if not isinstance(error, KafkaException):
        return str(error)
    text: str = error.args[0].str()
    return f"{text}: {WHO_MAY}" if error.args[0].name() in REFUSALS else text
