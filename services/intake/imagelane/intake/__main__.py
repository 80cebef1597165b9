"""`python -m imagelane.intake`."""

from __future__ import annotations

from imagelane.intake.app import run
from imagelane.intake.settings import Settings
from imagelane.platform.lifecycle import run_service

if __name__ == "__main__":
    run_service("intake", Settings, run)
