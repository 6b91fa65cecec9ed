"""What a note's details look like once they may be stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from flexml.engine.redact import MAX_CHARACTERS, presentable, presentable_text, without_user_info


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://app/menu?Digits=1", "http://app/menu?Digits=1"),
        ("http://user:secret@app/x", "http://***@app/x"),
        ("https://user@app/x", "https://***@app/x"),
        ("http://a@b:p@app/x", "http://***@app/x"),
        ("http://u:p@one/ and http://u:p@two/", "http://***@one/ and http://***@two/"),
        ("http://app/?token=abc&a=1", "http://app/?token=***&a=1"),
        ("http://app/?a=1&access_token=abc#x", "http://app/?a=1&access_token=***#x"),
        ("http://app/?X-Amz-Signature=abc&X-Amz-Date=2", "http://app/?X-Amz-Signature=***&X-Amz-Date=2"),
        ("http://app/?X-Amz-Security-Token=abc", "http://app/?X-Amz-Security-Token=***"),
        ("http://blob/?sv=1&sig=abc%3D", "http://blob/?sv=1&sig=***"),
        ("http://app/?API_KEY=abc;key=d", "http://app/?API_KEY=***;key=***"),
        ("http://app/?keyword=a&monkey=b", "http://app/?keyword=a&monkey=b"),
        ("http://app/a@b?mail=a@b", "http://app/a@b?mail=a@b"),
        ("http://u:p@app/: status 503, expected 2xx", "http://***@app/: status 503, expected 2xx"),
        ("sip:1555:secret@host", "sip:1555:***@host"),
        ("sip:1555@host:5060", "sip:1555@host:5060"),
        ("nul \0 and \ud800", "nul \\0 and \\ud800"),
        ("Zażółć 🎵", "Zażółć 🎵"),
    ],
)  # fmt: skip
def test_credentials_are_masked_and_the_rest_stays(text: str, shown: str) -> None:
    assert presentable_text(text) == shown
    assert presentable({"x": text}) == {"x": shown}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:secret@app/x?to=http://a@b", "http://app/x?to=http://a@b"),
        ("HTTPS://a@b:p@app", "HTTPS://app"),
        ("http://app/?to=http://a:b@c", "http://app/?to=http://a:b@c"),
        ("menu", "menu"),
        ("http://[oops", "http://[oops"),
    ],
)
def test_a_url_is_told_without_who_asks(url: str, told: str) -> None:
    assert without_user_info(url) == told


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None), (True, True), (3, 3), (1.5, 1.5), (float("nan"), "nan"), (float("inf"), "inf"),
        (["a", 1], '["a", 1]'), ({"b", "a"}, '["a", "b"]'), ({"u": "http://u:p@h/"}, '{"u": "http://***@h/"}'),
        (ValueError("http://u:p@h/"), "http://***@h/"),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31 00:00:00+00:00"),
    ],
)  # fmt: skip
def test_values_become_what_json_can_hold(value: object, shown: object) -> None:
    result = presentable({"x": value})
    assert result == {"x": shown}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("name", ["password", "token", "Authorization", "auth_token", "apiKey", "secret"])
def test_a_detail_with_a_secret_name_is_masked(name: str) -> None:
    assert presentable({name: "abc", "url": "x"}) == {name: "***", "url": "x"}
    assert presentable({name: ""}) == {name: ""}


@pytest.mark.parametrize(
    "details",
    [
        {"x": "a" * 100_000},
        {"x": "a" * 100_000, "y": "b" * 100_000, "z": 1},
        {f"name {n}": "a" * 1000 for n in range(500)},
        {"n" * 100_000: "a" * 1000},
        {"x": ["a" * 1000] * 1000},
    ],
)
def test_details_are_bounded(details: dict[str, object]) -> None:
    shown = presentable(details)
    assert 0 < sum(len(name) + len(str(value)) for name, value in shown.items()) <= MAX_CHARACTERS + 32 * 64
    assert all(str(value).endswith("…") for value in shown.values() if value != 1)


@pytest.mark.parametrize("run", ["a", "token-", "a.", "sip:a:", "://", "?a"])
def test_what_is_long_is_looked_through_once(run: str) -> None:
    """Else this would take hours, and a peer's header seconds, in which every call stands still."""
    text = "http://u:p@h/?@ " + run * ((1 << 20) // len(run))
    assert presentable_text(text) == "http://***@h/?@ " + run * ((1 << 20) // len(run))
