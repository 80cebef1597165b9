"""Every metric of the batcher."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

EVENTS: Final = Counter(
    "imagelane_batcher_events",
    "Events taken from the inputs: folded, repeated, ahead (skipped, out of order) or unreadable.",
    ["how"],
)
FOLDED: Final = EVENTS.labels("folded")
REPEATED: Final = EVENTS.labels("repeated")
AHEAD: Final = EVENTS.labels("ahead")
UNREADABLE: Final = EVENTS.labels("unreadable")
SENT: Final = Counter("imagelane_batcher_sent", "Events sent, by type.", ["type"])
IMAGES_MISSING: Final = Counter(
    "imagelane_batcher_images_missing", "Images that the sweep has named as missing."
)
TABLE_WRITES: Final = Counter("imagelane_batcher_table_writes", "Records written to the table.")
TABLE_BYTES: Final = Counter("imagelane_batcher_table_bytes", "Bytes of keys and values of those.")
GATE_OPENED: Final = Counter(
    "imagelane_batcher_gate_opened", "How often partitions were taken over."
)
GAPS_IGNORED: Final = Counter(
    "imagelane_batcher_gaps_ignored", "Holes in the inputs that Faust claimed to see."
)
