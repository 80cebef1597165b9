"""`python -m imagelane.batcher`."""

from functools import partial

from imagelane.batcher.app import run
from imagelane.batcher.settings import Settings
from imagelane.platform.bounded_end import BoundedEnd
from imagelane.platform.lifecycle import run_service

if __name__ == "__main__":
    run_service("batcher", Settings, partial(run, end=BoundedEnd()))
