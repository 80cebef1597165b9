"""A real Apache Kafka without Docker: one KRaft node on loopback, for local use, demo and tests."""

from imagelane.ops.broker.jars import BrokerSetupError, broker_home
from imagelane.ops.broker.server import EmbeddedBroker

__all__ = ["BrokerSetupError", "EmbeddedBroker", "broker_home"]
