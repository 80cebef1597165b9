"""The clocks, read at the shell's edge and nowhere else."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from imagelane.batcher.core.moment import Moment


def now() -> Moment:
    """The present moment. Its `seconds` go on while the process is stopped by a signal."""
    return Moment(time.monotonic(), datetime.now(UTC))
