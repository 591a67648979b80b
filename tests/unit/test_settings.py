"""Settings from the environment and the command line."""

from pathlib import Path

import pytest

from sidecar.errors import SettingsError
from sidecar.settings import READERS, Settings, from_environment


def test_an_empty_environment_gives_the_defaults():
    assert from_environment({}) == Settings()


def test_an_empty_variable_counts_as_unset():
    assert from_environment(dict.fromkeys(READERS, "")) == Settings()


def test_flags_win_over_the_environment():
    settings = from_environment({"SCHEDULER_JOBS_DIR": "/env", "SCHEDULER_LOGS_DIR": "/env"}, jobs="/flag")

    assert (settings.jobs_dir, settings.logs_dir) == (Path("/flag"), Path("/env"))


def test_every_variable_sets_a_field_of_its_own():
    values = {
        "SCHEDULER_JOBS_DIR": "/j",
        "SCHEDULER_LOGS_DIR": "/l",
        "SCHEDULER_WATCH": "polling",
        "TZ": "Europe/Berlin",
    }
    given = {name: values.get(name, "7777") for name in READERS}

    settings = from_environment(given)

    defaults = Settings()
    changed = [field for field in Settings.__slots__ if getattr(settings, field) != getattr(defaults, field)]
    assert len(changed) == len(READERS) == len(Settings.__slots__)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCHEDULER_MAX_CONCURRENT_RUNS", "0"),
        ("SCHEDULER_MAX_CONCURRENT_RUNS", "3.5"),
        ("SCHEDULER_MAX_CONCURRENT_RUNS", "٣"),
        ("SCHEDULER_LOG_MAX_BYTES", "-1"),
        ("SCHEDULER_LOG_MAX_BYTES", "9" * 5000),
        ("SCHEDULER_SHUTDOWN_GRACE_SECONDS", "nan"),
        ("SCHEDULER_RESCAN_SECONDS", "inf"),
        ("SCHEDULER_RESCAN_SECONDS", "0"),
        ("SCHEDULER_RESCAN_SECONDS", "1_0"),
        ("SCHEDULER_RESCAN_SECONDS", " 5 "),
        ("SCHEDULER_RESCAN_SECONDS", "1e3"),
        ("SCHEDULER_RESCAN_SECONDS", "\u0663"),
        ("SCHEDULER_RESCAN_SECONDS", "+5"),
        ("SCHEDULER_RESCAN_SECONDS", "5\n"),
        ("SCHEDULER_RESCAN_SECONDS", "10000000000.1"),
        ("SCHEDULER_SHUTDOWN_GRACE_SECONDS", "100000000000"),
        ("SCHEDULER_TRIGGER_MAX_AGE_SECONDS", "100000000000"),
        ("SCHEDULER_TRIGGER_MAX_AGE_SECONDS", "9" * 5000),
        ("SCHEDULER_OUTPUT_MAX_AGE_DAYS", "115741"),
        ("SCHEDULER_LOG_BACKUPS", "10001"),
        ("SCHEDULER_WATCH", "magic"),
        ("SCHEDULER_JOBS_DIR", "a\0b"),
        ("TZ", "CET-1CEST"),
        ("TZ", "../etc/passwd"),
        ("TZ", "Europe"),
        ("TZ", "localtime"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_shows_the_value(name, value):
    with pytest.raises(SettingsError) as error:
        from_environment({name: value})

    assert str(error.value).startswith(f"{name}: expected ")
    assert repr(value[:50])[1:-1] in str(error.value)
    assert len(str(error.value)) < 300


def test_the_largest_and_the_smallest_numbers_are_good_and_fractions_too():
    settings = from_environment(
        {
            "SCHEDULER_RESCAN_SECONDS": "0.1",
            "SCHEDULER_SHUTDOWN_GRACE_SECONDS": "10000000000",
            "SCHEDULER_TRIGGER_MAX_AGE_SECONDS": "10000000000.0",
            "SCHEDULER_OUTPUT_MAX_AGE_DAYS": "115740",
            "SCHEDULER_LOG_BACKUPS": "10000",
        }
    )

    assert settings.rescan_seconds == 0.1
    assert settings.shutdown_grace_seconds == settings.trigger_max_age_seconds == 1e10
    assert (settings.output_max_age_days, settings.log_backups) == (115_740, 10_000)


def test_names_that_kubernetes_sets_for_a_service_called_scheduler_do_no_harm():
    assert from_environment({"SCHEDULER_PORT": "tcp://10.0.0.1:80"}) == Settings()
