"""API keys: who holds one is who its record says, and nobody else is anybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec import UNSET

from imagelane.contracts.keys import KeyRecorded
from imagelane.core.api_keys import KeyRefusedError, KeyRing, Refusal, sha256_of, token_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY_ID, TOKEN = token_of(bytes(range(39)))


def record(**changed: object) -> KeyRecorded:
    made = KeyRecorded(
        key_id=KEY_ID,
        secret_sha256=sha256_of(TOKEN),
        scopes=["read"],
        name="shop",
        occurred_at=NOW,
        customer_id="acme",
    )
    return msgspec.structs.replace(made, **changed)


def ring(*records: KeyRecorded) -> KeyRing:
    made = KeyRing()
    for one in records:
        made.fold(one)
    return made


def refusal(keys: KeyRing, token: str = TOKEN, now: datetime = NOW) -> Refusal:
    with pytest.raises(KeyRefusedError) as refused:
        keys.caller(token, now)
    return refused.value.refusal


def test_a_key_says_who_holds_it() -> None:
    caller = ring(record()).caller(TOKEN, NOW)
    assert (caller.customer_id, caller.name) == ("acme", "shop")
    assert caller.scopes == {"read"}
    assert caller.may("read")
    assert not caller.may("submit")
    assert caller.signature == f"key {KEY_ID} (shop)"


def test_an_operator_may_everything() -> None:
    keys = ring(record(customer_id=UNSET, scopes=["operate"]))
    caller = keys.caller(TOKEN, NOW)
    assert caller.customer_id is None
    assert all(caller.may(scope) for scope in ("submit", "read", "operate"))


def test_a_record_that_is_half_an_operators_is_the_lesser_of_both() -> None:
    with_customer = ring(record(scopes=["operate", "read"])).caller(TOKEN, NOW)
    assert with_customer.scopes == {"read"}
    without = ring(record(customer_id=UNSET, scopes=["submit", "read"])).caller(TOKEN, NOW)
    assert without.scopes == frozenset()


def test_a_key_ends_at_its_time() -> None:
    keys = ring(record(expires_at=NOW))
    assert keys.caller(TOKEN, NOW - timedelta(seconds=1)).customer_id == "acme"
    assert refusal(keys) is Refusal.EXPIRED


def test_the_last_record_of_a_key_holds() -> None:
    assert refusal(ring(record(), record(revoked_at=NOW))) is Refusal.REVOKED
    keys = ring(record())
    keys.forget(KEY_ID)
    keys.forget(KEY_ID)
    assert refusal(keys) is Refusal.UNKNOWN


def test_without_the_secret_nothing_is_told() -> None:
    other = TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b")
    assert refusal(ring(record()), other) is Refusal.UNKNOWN
    assert refusal(ring(record(revoked_at=NOW)), other) is Refusal.UNKNOWN
    assert refusal(ring(), TOKEN) is Refusal.UNKNOWN


@pytest.mark.parametrize(
    "token", ["", "il_", TOKEN.upper(), TOKEN + "a", f"{TOKEN}\n", TOKEN[3:], "il_ä_ö", TOKEN[:-1]]
)
def test_what_is_no_key_is_refused_like_an_unknown_one(token: str) -> None:
    assert refusal(ring(record()), token) is Refusal.UNKNOWN


def test_live_keys_of_a_customer() -> None:
    keys = ring(
        record(),
        record(key_id="b" * 12, expires_at=NOW),
        record(key_id="c" * 12, revoked_at=NOW),
        record(key_id="d" * 12, customer_id="umbra"),
        record(key_id="e" * 12, occurred_at=NOW - timedelta(days=1)),
    )
    assert [key.key_id for key in keys.live("acme", NOW)] == ["e" * 12, KEY_ID]
    assert len(keys.all()) == 5


def test_a_key_is_made_of_all_its_random_bytes() -> None:
    assert token_of(b"\xff" * 39) != token_of(b"\xff" * 38 + b"\xfe")
    with pytest.raises(ValueError, match="39 random bytes"):
        token_of(b"")
