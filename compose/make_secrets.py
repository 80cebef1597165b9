"""Makes the secrets of a deployment, each as a file: `python3 compose/make_secrets.py [FOLDER]`.

What is there already stays as it is: the deployment secret must never change. The folder is closed to
others; the files can be read by any user, since containers run as one that this machine does not know.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"


def made() -> dict[str, str]:
    """A fresh value for every secret, by its name."""
    values = {
        name: secrets.token_urlsafe(32)
        for name in (
            "deployment-secret",
            "notify-secret",
            "batch-api-token",
            "database-password",
            "s3-secret-access-key",
        )
    }
    return values | {
        "webhook-secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    }


def main(folder: Path) -> None:
    """Writes what is missing, and says so."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, value in made().items():
        path = folder / name
        if path.exists():
            continue
        path.write_text(value, encoding="utf-8")
        path.chmod(0o444)
        sys.stdout.write(f"made {path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
