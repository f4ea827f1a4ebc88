"""Flags that need work: settings of the tracker, and what belongs into a sink's URI."""

import pytest

from edge_runtime.errors import UsageError
from edge_runtime.flags import track_settings, with_flags


def test_settings_are_numbers_over_the_defaults():
    settings = track_settings(["lost_after_ms=800", "acquire-hits = 2"])
    assert (settings.lost_after_ms, settings.acquire_hits, settings.acquire_window) == (800.0, 2, 5)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        pytest.param("lost_after_ms", "expected NAME=VALUE", id="no value"),
        pytest.param("lost_after=1", "did you mean lost_after_ms", id="misspelt"),
        pytest.param("x=1", "expected one of acquire_hits", id="unknown"),
        pytest.param("acquire_hits=2.5", "expected a whole number", id="not whole"),
        pytest.param("gate_iou=wide", "expected a number", id="not a number"),
        pytest.param("gate_iou=nan", "gate_iou", id="NaN"),
        pytest.param("lost_after_ms=50", "lost_after_ms = 50, expected more than coast_after_ms", id="order"),
    ],
)
def test_a_bad_setting_is_told_in_one_line(pair, message):
    with pytest.raises(UsageError, match=message):
        track_settings([pair])


@pytest.mark.parametrize(
    ("uris", "flags", "expected"),
    [
        pytest.param(["jsonl:-"], {}, ["jsonl:-"], id="no flags"),
        pytest.param(
            ["jsonl:-", "mavlink:udpout:h:1", "mavlink:/dev/tty:9600?sysid=2"],
            {"landing_target": "px4"},
            [
                "jsonl:-",
                "mavlink:udpout:h:1?landing_target=px4",
                "mavlink:/dev/tty:9600?sysid=2&landing_target=px4",
            ],
            id="for every sink of the kind",
        ),
        pytest.param(
            ["mavlink:udpout:h:1?landing_target=ardupilot"],
            {"landing_target": "px4"},
            ["mavlink:udpout:h:1?landing_target=ardupilot"],
            id="the URI's own word wins",
        ),
        pytest.param(
            ["web://0.0.0.0:80"], {"web_token": "a&b c"}, ["web://0.0.0.0:80?token=a%26b%20c"], id="quoted"
        ),
    ],
)
def test_flags_go_into_the_uris_of_their_sinks(uris, flags, expected):
    assert with_flags(uris, **flags) == tuple(expected)


@pytest.mark.parametrize(
    ("uris", "flags", "message"),
    [
        pytest.param(["jsonl:-"], {"landing_target": "px4"}, "--landing-target needs", id="no mavlink"),
        pytest.param(["jsonl:-"], {"web_token": "x"}, "--web-token needs", id="no web"),
        pytest.param(["jsonl:-", "jsonl:-"], {}, "jsonl:- is given twice", id="twice"),
    ],
)
def test_flags_without_their_sink_are_refused(uris, flags, message):
    with pytest.raises(UsageError, match=message):
        with_flags(uris, **flags)


def test_a_token_never_stands_in_an_error():
    with pytest.raises(UsageError) as told:
        with_flags(["web://h:1?token=secret"] * 2)
    assert "secret" not in str(told.value)
