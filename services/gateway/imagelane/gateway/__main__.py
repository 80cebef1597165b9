"""`python -m imagelane.gateway`."""

from imagelane.gateway.app import run
from imagelane.gateway.settings import Settings
from imagelane.platform.lifecycle import run_service

if __name__ == "__main__":
    run_service("gateway", Settings, run)
