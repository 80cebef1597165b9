"""Destinations: where results go, and the public address that follows from it without a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from imagelane.core.presigning import Presigner
from imagelane.core.recipes import OutputSpec, result_path


@dataclass(frozen=True, slots=True)
class Destination:
    """A named place for results. `prefix` is empty or ends in a slash; the base has none at its end.

    Without a `presigner` everybody can read what lies there.
    """

    name: str
    prefix: str
    public_base_url: str
    presigner: Presigner | None = None

    def key(self, job_id: str, index: int, output: OutputSpec) -> str:
        """Under which key the destination's store holds this output."""
        return self.prefix + result_path(job_id, index, output)

    def public_url(self, job_id: str, index: int, output: OutputSpec) -> str:
        """Its address. The prefix is the public base's affair, not ours."""
        return f"{self.public_base_url}/{result_path(job_id, index, output)}"

    def readable(self, address: str, at: datetime) -> str:
        """The address as it is handed out at that time: whoever has it can read what lies there."""
        return address if self.presigner is None else self.presigner.signed(address, at)

    def holds(self, address: str) -> bool:
        """Whether this is the address of a result that lies here."""
        return address.startswith(f"{self.public_base_url}/")

    def address_of(self, url: str) -> str:
        """The address in a URL that was handed out."""
        return url if self.presigner is None else url.partition("?")[0]
