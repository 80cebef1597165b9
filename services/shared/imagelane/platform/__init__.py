"""The shells that several services share: Kafka, object store, HTTP, settings, logs."""
