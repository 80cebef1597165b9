"""What ids look like."""

from __future__ import annotations

import re
from typing import Final

is_image: Final = re.compile(r"(?P<job>[a-z2-7]{32}):[0-9]+").fullmatch
is_job: Final = re.compile(r"[a-z2-7]{32}").fullmatch
