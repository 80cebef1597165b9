"""A process that was asked to end does so in its time, whatever its threads wait for."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import threading
from imagelane.platform.bounded_end import BoundedEnd
from imagelane.platform.logs import configure
from imagelane.platform.settings import LogSettings
configure(LogSettings(form="json"), service="one")
end = BoundedEnd()
end.within(3_600.0)
threading.Thread(target=threading.Event().wait).start()
end.within(0.1)
"""


def test_a_thread_that_never_ends_does_not_keep_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert '"event": "service.left"' in done.stderr
