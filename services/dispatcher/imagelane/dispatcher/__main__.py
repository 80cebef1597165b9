"""`python -m imagelane.dispatcher`."""

from functools import partial

from imagelane.dispatcher import app
from imagelane.dispatcher.settings import Settings
from imagelane.platform.bounded_end import BoundedEnd
from imagelane.platform.lifecycle import run_service

run_service("dispatcher", Settings, partial(app.run, end=BoundedEnd()))
