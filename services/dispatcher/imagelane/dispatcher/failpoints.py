"""Points at which a test may have the process killed or stopped, between any two steps that must survive it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imagelane.dispatcher.settings import DispatcherSettings, Failpoint, FailpointAction

SIGNALS: Final[dict[FailpointAction, signal.Signals]] = {
    "kill": signal.SIGKILL,
    "stop": signal.SIGSTOP,
}

BEFORE_STATE: Final[dict[str, Failpoint]] = {"planned": "before_plan"}
"""Which point is reached when a lane's record with this state is decided, and nothing of it is durable."""

AFTER_STATE: Final[dict[str, Failpoint]] = {
    "planned": "after_plan",
    "submitting": "after_attempt",
    "active": "after_active",
    "idle": "after_resolve",
}
"""Which point is reached when a lane's record with this state is durable, and nothing else was done yet."""


@dataclass(frozen=True, slots=True)
class Failpoints:
    """At most one of the points is armed. Off unless the settings allow it by name."""

    armed: Failpoint | None = None
    marker: Path | None = None
    action: FailpointAction = "kill"

    @classmethod
    def of(cls, settings: DispatcherSettings) -> Failpoints:
        """The one that the settings arm."""
        return cls(settings.failpoint, settings.failpoint_marker, settings.failpoint_action)

    def reach(self, point: Failpoint | None) -> None:
        """Kills or stops the process if the point is armed; once, if there is a marker to make.

        A stopped process goes on from here when somebody sends it SIGCONT.
        """
        if point is None or point != self.armed:
            return
        if self.marker is not None:
            try:
                self.marker.touch(exist_ok=False)
            except FileExistsError:
                return
        os.kill(os.getpid(), SIGNALS[self.action])


OFF: Final = Failpoints()
