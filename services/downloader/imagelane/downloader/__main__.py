"""`python -m imagelane.downloader`."""

from functools import partial

from imagelane.downloader import app
from imagelane.downloader.settings import Settings
from imagelane.platform.bounded_end import BoundedEnd
from imagelane.platform.lifecycle import run_service

run_service("downloader", Settings, partial(app.run, end=BoundedEnd()))
