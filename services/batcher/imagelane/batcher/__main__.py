"""`python -m imagelane.batcher`."""

from imagelane.batcher.app import run
from imagelane.batcher.settings import Settings
from imagelane.platform.lifecycle import run_service

if __name__ == "__main__":
    run_service("batcher", Settings, run)
