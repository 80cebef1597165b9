"""`python -m imagelane.downloader`."""

from imagelane.downloader import app
from imagelane.downloader.settings import Settings
from imagelane.platform.lifecycle import run_service

run_service("downloader", Settings, app.run)
