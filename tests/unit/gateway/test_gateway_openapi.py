"""The API's description: valid, current, and about exactly the routes that there are."""

from __future__ import annotations

import re

import yaml
from openapi_spec_validator import validate
from tests.unit.gateway.conftest import Start
from tests.unit.gateway.described import document, operations
from tests.unit.gateway.test_gateway_access import table

from imagelane.gateway import openapi
from imagelane.gateway.problems import Kind


def test_it_is_valid_openapi() -> None:
    validate(document())


def test_it_says_what_the_structs_say() -> None:
    made = openapi.text_of(openapi.with_answers(document()))
    assert openapi.openapi_file().read_text() == made, "see `python -m imagelane.gateway.openapi`"


def test_every_route_is_described_and_nothing_else_is() -> None:
    served = {(route.method, re.sub(r":[^}]+\}", "}", route.path)) for route in table()}
    assert {(method, path) for method, path, _ in operations()} == served


def test_it_names_the_scope_of_every_route() -> None:
    scopes = {(route.method, route.path): route.scope for route in table()}
    for method, path, operation in operations():
        scope = scopes.get((method, path))
        assert operation.get("x-scope") == scope, (method, path)
        assert (operation.get("security") == []) == (scope is None), (method, path)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


def test_what_takes_a_key_says_what_happens_without_one() -> None:
    for method, path, operation in operations():
        if "x-scope" in operation:
            assert {"401", "403"} <= operation["responses"].keys(), (method, path)


async def test_it_is_served_to_everybody(start: Start) -> None:
    async with start() as gateway:
        answer = await gateway.ask("GET", "/v1/openapi.json", token="")
    assert answer.json == yaml.safe_load(openapi.openapi_file().read_bytes())


def test_every_kind_of_problem_has_a_type_of_its_own() -> None:
    types = [kind.type for kind in Kind]
    assert len(set(types)) == len(types)
    assert all(re.fullmatch(r"urn:imagelane:problem:[a-z-]+", one) for one in types)
