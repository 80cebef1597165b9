"""`python -m imagelane.tracker`."""

from imagelane.platform.lifecycle import run_service
from imagelane.tracker.app import run
from imagelane.tracker.settings import Settings

if __name__ == "__main__":
    run_service("tracker", Settings, run)
