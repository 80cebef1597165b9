"""A server of images in sentences: how it is spared, why, and until when."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from imagelane.ops.client.core.answers import Server
from imagelane.ops.client.core.lane_words import at, images

FIRST_WAITING: Final = "The server of the first image that waits for the downloader"


def server_says(whose: str, server: Server, now: datetime) -> str:
    """Why images of the server wait. `whose` begins the sentence: `Its server`."""
    told = f"{whose}, {server.host}, {_state(server, now)}."
    if server.requests_per_second is not None and server.state != "rated":
        return f"{told} It never gets more than {_rate(server)}, by a setting."
    return told


def _state(server: Server, now: datetime) -> str:
    waits = server.resumes_at is not None and server.resumes_at > now
    until = at(server.resumes_at, now) if waits and server.resumes_at is not None else ""
    at_a_time = f"{images(server.images_at_a_time or 1)} at a time"
    why = f": {server.reason} ({server.code})" if server.code and server.reason else ""
    if server.state == "asked_to_wait":
        left = f"is left alone until {until}, as it asked (Retry-After){why}"
        return (
            f"{left}; then it gets {at_a_time}" if until else f"{_asked(why)}; it gets {at_a_time}"
        )
    if server.state == "failing":
        following = f", the next at {until}" if until else ""
        return f"has failed round after round{why}; it is only tried with single images{following}"
    if server.state == "slowed":
        return f"gets only {at_a_time}, since it {_slowed(server, why)}"
    if server.state == "rated":
        return f"gets at most {_rate(server)}, by a setting"
    return f"is {server.state}"


def _asked(why: str) -> str:
    return f"has asked to be left alone (Retry-After){why}"


def _slowed(server: Server, why: str) -> str:
    if server.code is None:
        return "takes longer to answer than before"
    return f"failed or took longer to answer than before{why}"


def _rate(server: Server) -> str:
    rate = server.requests_per_second or 0.0
    return "1 request a second" if rate == 1.0 else f"{rate:g} requests a second"
