"""Where the private store keeps what: names that are keys whatever the customer is called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.recipes import (
    folder_name,
    list_key,
    lists_folder,
    original_key,
    originals_folder,
)
from imagelane.platform.object_keys import checked_key

JOB = "a" * 32
CUSTOMERS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255
) | st.sampled_from(["..", ".", "a/b", "a_2fb", "A", "a", "__" + "0" * 64, "x" * 255])


@given(CUSTOMERS)
def test_every_customer_has_a_folder_that_the_store_takes(customer_id: str) -> None:
    checked_key(list_key(customer_id, JOB))
    assert lists_folder(customer_id).count("/") == 1


@given(CUSTOMERS, CUSTOMERS)
def test_no_two_customers_share_one_even_where_letters_have_no_case(one: str, other: str) -> None:
    assert (folder_name(one).lower() == folder_name(other).lower()) == (one == other)


def test_ordinary_names_are_themselves() -> None:
    assert folder_name("acme-2") == "acme-2"
    assert folder_name("Acme Ltd.") == "_41cme_20_4ctd_2e"
    assert list_key("a/b", JOB) == f"lists/a_2fb/{JOB}"


def test_an_original_lies_below_its_jobs_folder() -> None:
    assert original_key(JOB, 7) == f"{originals_folder(JOB)}/7"
