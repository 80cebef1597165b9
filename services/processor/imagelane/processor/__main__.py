"""`python -m imagelane.processor`."""

from imagelane.platform.lifecycle import run_service
from imagelane.processor import app
from imagelane.processor.settings import Settings

run_service("processor", Settings, app.run)
