"""`python -m imagelane.dispatcher`."""

from imagelane.dispatcher import app
from imagelane.dispatcher.settings import Settings
from imagelane.platform.lifecycle import run_service

run_service("dispatcher", Settings, app.run)
