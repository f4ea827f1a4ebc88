"""The web sink's URI: what is misspelt, taken or open to others is said before the run starts."""

import re
import socket
import sys

import pytest

from edge_runtime.errors import MissingExtra, SinkError
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.web.options import WebOptions, parse

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("//127.0.0.1:8080", WebOptions("127.0.0.1", 8080), id="plain"),
        pytest.param("//127.0.0.1:8080/", WebOptions("127.0.0.1", 8080), id="as a browser writes it"),
        pytest.param("//[::1]:80", WebOptions("::1", 80), id="IPv6"),
        pytest.param("//h:1?token=a%26b%3Dcdefg", WebOptions("h", 1, token="a&b=cdefg"), id="quoted token"),
        pytest.param("//h:1?fps=2.5&width=320", WebOptions("h", 1, fps=2.5, width=320), id="a slow radio"),
    ],
)
def test_an_address_and_its_options_are_read(target, expected):
    assert parse(target) == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param("8080", "expected //HOST:PORT", id="only a port"),
        pytest.param("//127.0.0.1", "expected //HOST:PORT", id="no port"),
        pytest.param("//::1:80", "expected //HOST:PORT", id="IPv6 without brackets"),
        pytest.param("//me:secret@127.0.0.1:80", "expected //HOST:PORT", id="user and password"),
        pytest.param("//127.0.0.1:http", "the port is 'http'", id="port in words"),
        pytest.param("//127.0.0.1:70000", "the port is '70000'", id="port too large"),
        pytest.param(
            "//127.0.0.1:80?tokn=x", "unknown option 'tokn', expected token, fps, width", id="misspelt"
        ),
        pytest.param("//127.0.0.1:80?fps=0", "fps is '0'", id="no pictures"),
        pytest.param("//127.0.0.1:80?fps=nan", "fps is 'nan'", id="not a number"),
        pytest.param("//127.0.0.1:80?fps=5&fps=6", "fps is given twice", id="twice"),
        pytest.param("//127.0.0.1:80?token=short", "the token is too short", id="token of five letters"),
        pytest.param("//0.0.0.0:0", "needs a token: --web-token", id="every address"),
        pytest.param("//[::]:0", "needs a token: --web-token", id="every IPv6 address"),
        pytest.param("//no.such.host.invalid:80", "is not an address of this machine", id="unknown host"),
        pytest.param("//192.0.2.1:80?token=longenough", "cannot listen there", id="address of somebody else"),
    ],
)
def test_what_cannot_work_is_one_line_that_says_what_is_expected(target, message):
    with pytest.raises(SinkError, match=re.escape(message)) as raised:
        open_sink(f"web:{target}")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_port_in_use_is_said_at_once():
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(SinkError, match="Address already in use; choose another port"):
        open_sink(f"web://127.0.0.1:{taken.getsockname()[1]}")


def test_the_token_is_in_no_name_message_or_log_line(caplog):
    caplog.set_level("DEBUG")
    sink = open_sink(f"web://0.0.0.0:0?token={SECRET}")
    sink.start({})
    sink.close()
    assert sink.name.startswith("web://0.0.0.0:")
    assert SECRET not in sink.name + caplog.text + repr(parse(f"//h:1?token={SECRET}"))
    assert "web page at http://0.0.0.0:" in caplog.text
    with pytest.raises(SinkError) as raised:
        open_sink(f"web://127.0.0.1:0?token={SECRET}&oops=1")
    assert SECRET not in str(raised.value)


def test_without_the_server_library_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets", None)
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    monkeypatch.delitem(sys.modules, "edge_runtime.sinks.web.server", raising=False)
    with pytest.raises(MissingExtra, match=r"'websockets', .* pip install 'dips-edge\[guidance\]'"):
        open_sink("web://127.0.0.1:0")


def test_a_page_that_was_never_started_frees_its_port():
    sink = open_sink("web://127.0.0.1:0")
    port = int(sink.name.rpartition(":")[2])
    sink.close()
    with socket.create_server(("127.0.0.1", port)):
        pass
