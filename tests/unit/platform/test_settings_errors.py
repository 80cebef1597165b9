"""What a person reads who has forgotten a variable: its name, and not only that of its group."""

from __future__ import annotations

import pytest

from imagelane.dispatcher.settings import Settings as DispatcherSettings
from imagelane.intake.settings import Settings as IntakeSettings
from imagelane.platform.settings import ServiceSettings, SettingsError, load


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (IntakeSettings, "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS: Field required"),
        (IntakeSettings, "IMAGELANE_STORE__DESTINATIONS: Field required"),
        (
            IntakeSettings,
            "IMAGELANE_INTAKE__DEPLOYMENT_SECRET_FILE: either the secret or a file with it must be set",
        ),
        (DispatcherSettings, "IMAGELANE_DISPATCHER__CAPABILITIES: Field required"),
        (DispatcherSettings, "IMAGELANE_BATCH_API__BASE_URL: must be set for the adapter http"),
    ],
)
def test_a_variable_that_is_missing_is_named(settings: type[ServiceSettings], told: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        load(settings)
    assert f"  {told}" in str(wrong.value).splitlines()
