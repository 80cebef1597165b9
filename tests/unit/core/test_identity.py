"""Names that nobody can guess: the same for the same, another for everything else."""

from __future__ import annotations

import re

from imagelane.core.identity import job_id_of_key, secret_id, upload_key

SECRET = b"a secret of 16+ bytes"


def test_a_job_id_never_changes() -> None:
    # Pinned: with another one, every submission that comes again would be another job.
    assert job_id_of_key(SECRET, "acme", "k-1") == "n34bavkdhqqqczsx3yizsdx2egay7hpz"


def test_no_two_identities_look_the_same() -> None:
    ids = [
        secret_id(SECRET, "a", "b"),
        secret_id(SECRET, "ab", ""),
        secret_id(SECRET, "", "ab"),
        secret_id(SECRET, "a", "b", ""),
        secret_id(SECRET, "a1:b"),
        secret_id(b"another secret!!", "a", "b"),
    ]
    assert len(set(ids)) == len(ids)


def test_an_upload_lies_under_its_customer_key_and_content() -> None:
    sha256 = "0" * 64
    place = upload_key(SECRET, "acme", "k-1", sha256)
    assert re.fullmatch(r"uploads/[a-z2-7]{32}", place)
    others = {
        upload_key(SECRET, "umbra", "k-1", sha256),
        upload_key(SECRET, "acme", "k-2", sha256),
        upload_key(SECRET, "acme", "k-1", "1" * 64),
        upload_key(b"another secret!!", "acme", "k-1", sha256),
    }
    assert len(others | {place}) == 5
