"""`python -m imagelane.processor`."""

from functools import partial

from imagelane.platform.bounded_end import BoundedEnd
from imagelane.platform.lifecycle import run_service
from imagelane.processor import app
from imagelane.processor.settings import Settings

run_service("processor", Settings, partial(app.run, end=BoundedEnd()))
