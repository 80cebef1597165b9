"""`python -m imagelane.notifier`."""

from __future__ import annotations

from imagelane.notifier.app import run
from imagelane.notifier.settings import Settings
from imagelane.platform.lifecycle import run_service

if __name__ == "__main__":
    run_service("notifier", Settings, run)
