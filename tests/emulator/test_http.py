"""What is no proper request gets a clean answer, in time, and costs no thread for ever."""

import json
import socket
import time
from contextlib import closing

import pytest

from cachepoint.emulator import BedrockEmulator
from cachepoint.emulator.wire import connection
from tests.emulator.wire import SONNET, post, user

BODY = json.dumps({"messages": [user({"text": "hi"})]}).encode()
PATH = f"/model/{SONNET}/converse"


def send(bedrock, raw: bytes, *, end: bool = False) -> tuple[int, dict[str, str]]:
    """Send bytes, say that there are no more if `end`, and read one answer: status and body."""
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        client.sendall(raw)
        if end:
            client.shutdown(socket.SHUT_WR)
        return read(client)


def read(client) -> tuple[int, dict[str, str]]:
    data = bytearray()
    while piece := client.recv(65_536):
        data += piece
        head, found, body = bytes(data).partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return int(head.split()[1]), json.loads(body)
    raise AssertionError(f"no answer, only {bytes(data)!r}")


def head(*fields: str) -> bytes:
    return "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: b", *fields, "", ""]).encode()


def chunked(*pieces: bytes) -> bytes:
    return head("Transfer-Encoding: chunked") + b"".join(pieces)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        (head("Content-Length: abc"), 400, "Content-Length is a number"),
        (head("Content-Length: -1"), 400, "Content-Length is a number"),
        (head("Content-Length: ²"), 400, "Content-Length is a number"),
        (head("Content-Length:"), 400, "Content-Length is a number"),
        (head("Content-Length: 10000000000"), 413, "larger than"),
        (head(f"Content-Length: {'9' * 5_000}"), 413, "larger than"),
        (head("Content-Length: 100") + b"{}", 400, "ends after 2 of 100 bytes"),
        (chunked(b"x\r\n"), 400, "hexadecimal"),
        (chunked(b"-5\r\n"), 400, "hexadecimal"),
        (chunked(b"0x5\r\n"), 400, "hexadecimal"),
        (chunked(b"1" * 10_000), 400, "hexadecimal"),
        (chunked(b"5\r\nab"), 400, "ends after 2 of 5 bytes"),
        (chunked(b"1\r\nab\r\n"), 400, "longer than it says"),
        (chunked(b"ffffffffff\r\n", BODY), 400, "ends after"),
        (chunked(chunk(BODY)), 400, "hexadecimal"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(bedrock, raw, status, message):
    answered, answer = send(bedrock, raw, end=True)
    assert answered == status
    assert message in answer["message"]
    (call,) = bedrock.calls
    assert (call.status, call.operation, call.model_id) == (status, "Converse", SONNET)


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(bedrock):
    assert send(bedrock, head("Content-Length: 10000000000"))[0] == 413


def test_a_chunked_body_may_have_extensions_and_trailers(bedrock):
    raw = chunked(b"%x;a=b\r\n%b\r\n" % (len(BODY), BODY), b"0\r\nX-Sum: 1\r\n\r\n")
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        for _ in range(2):
            client.sendall(raw)
            assert read(client)[0] == 200


@pytest.mark.parametrize("raw", [head("Content-Length: 100") + b"{", chunked(b"5\r\nab"), chunked(b"5")])
def test_half_a_request_is_told_when_its_time_is_over(bedrock, monkeypatch, raw):
    monkeypatch.setattr(connection, "_REQUEST_SECONDS", 0.2)
    status, answer = send(bedrock, raw)
    assert (status, answer["message"]) == (408, "The request did not arrive in time.")


def test_a_request_that_drips_ends_in_time_too(bedrock, monkeypatch):
    monkeypatch.setattr(connection, "_REQUEST_SECONDS", 0.3)
    started = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=0.05)) as client:
        client.sendall(head("Content-Length: 1000"))
        while time.monotonic() - started < 5:
            client.sendall(b" ")
            try:
                assert client.recv(12) == b"HTTP/1.1 408"
                break
            except TimeoutError:
                continue
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("raw", [b"", b"POST", b"POST / HTTP/1.1\r\nHost: b\r\n"])
def test_half_a_head_ends_the_connection(bedrock, monkeypatch, raw):
    monkeypatch.setattr(connection, "_REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(connection, "_IDLE_SECONDS", 0.2)
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        client.sendall(raw)
        assert client.recv(100) == b""
    assert bedrock.calls == ()


def test_many_half_requests_leave_it_answering():
    with BedrockEmulator() as bedrock:
        halves = [socket.create_connection(("127.0.0.1", bedrock.port), timeout=10) for _ in range(100)]
        for half in halves:
            half.sendall(head("Content-Length: 100") + b"{")
        assert post(bedrock, BODY)[0] == 200
        for half in halves:
            half.close()
