"""Where an output lies and where everybody reads it follow from the same names."""

from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES

OUTPUT = RECIPES["default"].outputs[0]


def test_the_key_has_the_prefix_and_the_url_has_the_base() -> None:
    destination = Destination("main", "shop/", "https://cdn.example/shop")
    assert destination.key("job", 7, OUTPUT) == "shop/job/7/image.jpg"
    assert destination.public_url("job", 7, OUTPUT) == "https://cdn.example/shop/job/7/image.jpg"
