"""One outside system each: database, cache, bus, queue, MQTT, telemetry stores."""
