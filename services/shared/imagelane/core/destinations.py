"""Destinations: where results go, and the public address that follows from it without a look."""

from __future__ import annotations

from dataclasses import dataclass

from imagelane.core.recipes import OutputSpec, result_path


@dataclass(frozen=True, slots=True)
class Destination:
    """A named place for results. `prefix` is empty or ends in a slash; the base has none at its end."""

    name: str
    prefix: str
    public_base_url: str

    def key(self, job_id: str, index: int, output: OutputSpec) -> str:
        """Under which key the destination's store holds this output."""
        return self.prefix + result_path(job_id, index, output)

    def public_url(self, job_id: str, index: int, output: OutputSpec) -> str:
        """Where everybody can read this output. The prefix is the public base's affair, not ours."""
        return f"{self.public_base_url}/{result_path(job_id, index, output)}"
