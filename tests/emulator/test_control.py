"""What only the emulator has: its health and its clock over HTTP, a host, and a word of every call."""

import http.client
import json
import socket
from contextlib import closing

import pytest

from cachepoint.emulator import BedrockEmulator
from tests.emulator.wire import POINT, SONNET, cached, client, text, user


def ask(bedrock, method, path, body=None, **headers):
    raw = json.dumps(body).encode() if body is not None else None
    with closing(http.client.HTTPConnection("127.0.0.1", bedrock.port, timeout=10)) as connection:
        connection.request(method, f"/_emulator/{path}", raw, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_it_says_that_it_is_there(bedrock):
    assert ask(bedrock, "GET", "health") == (200, {"status": "ok"})
    assert bedrock.calls == ()


def test_its_clock_is_read_and_moved_from_outside():
    with BedrockEmulator(clock=lambda: 1_000.0) as bedrock:
        assert ask(bedrock, "GET", "clock") == (200, {"now": 1_000.0})
        assert ask(bedrock, "POST", "clock", {"advance": 300}) == (200, {"now": 1_300.0})
        assert ask(bedrock, "POST", "clock", {"advance": 0.5}) == (200, {"now": 1_300.5})
        assert bedrock.now() == 1_300.5
        assert bedrock.calls == ()


def test_entries_end_by_it(bedrock, client):
    request = {
        "modelId": SONNET,
        "system": [text(1500), POINT],
        "messages": [user({"text": "How?"})],
    }
    client.converse(**request)
    ask(bedrock, "POST", "clock", {"advance": 301})
    assert cached(client.converse(**request)["usage"]) == (0, 1500)


@pytest.mark.parametrize(
    "body",
    [None, {}, [], {"advance": -1}, {"advance": "5"}, {"advance": True}, {"advance": 1e400}, {"to": 5}],
)
def test_a_move_that_is_none_is_refused(bedrock, body):
    before = bedrock.now()
    status, answer = ask(bedrock, "POST", "clock", body)
    assert status == 400
    assert "advance" in answer["message"]
    assert bedrock.now() - before < 5


@pytest.mark.parametrize(("method", "path"), [("DELETE", "clock"), ("POST", "health"), ("GET", "else")])
def test_what_it_has_not_it_says(bedrock, method, path):
    status, answer = ask(bedrock, method, path)
    assert status == 404
    assert "/_emulator/health" in answer["message"]


def test_the_clock_is_for_those_with_a_key():
    with BedrockEmulator(access_keys=["local"]) as bedrock:
        assert ask(bedrock, "GET", "health")[0] == 200
        assert ask(bedrock, "POST", "clock", {"advance": 5})[0] == 403
        assert ask(bedrock, "POST", "clock", {"advance": 5}, Authorization="Bearer other")[0] == 403
        assert ask(bedrock, "POST", "clock", {"advance": 5}, Authorization="Bearer local")[0] == 200


def test_it_listens_where_it_is_told():
    with BedrockEmulator(host="localhost") as bedrock:
        assert bedrock.url == f"http://localhost:{bedrock.port}"
        with socket.create_connection(("127.0.0.1", bedrock.port), timeout=10):
            pass


@pytest.mark.parametrize("host", ["", "::1"])
def test_a_host_that_it_cannot_listen_at_is_refused(host):
    with pytest.raises(ValueError, match="host is") as caught:
        BedrockEmulator(host=host)
    assert repr(host) in str(caught.value)


def test_it_tells_of_every_call_as_calls_has_it():
    told = []
    with BedrockEmulator(on_call=told.append) as bedrock:
        runtime = client(bedrock)
        runtime.converse(modelId=SONNET, messages=[user({"text": "How?"})])
        with pytest.raises(runtime.exceptions.ValidationException):
            runtime.converse(modelId="nobody.model", messages=[user({"text": "How?"})])
    assert tuple(told) == bedrock.calls
    assert [call.status for call in told] == [200, 400]


def test_a_fault_of_whoever_is_told_fails_no_call(caplog):
    def faulty(call):
        raise BrokenPipeError("nobody reads")

    with BedrockEmulator(on_call=faulty) as bedrock:
        answer = client(bedrock).converse(modelId=SONNET, messages=[user({"text": "How?"})])
    assert answer["stopReason"] == "end_turn"
    assert "on_call failed" in caplog.text
