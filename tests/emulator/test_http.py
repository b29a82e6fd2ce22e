"""What is no proper request gets a clean answer, in time, and costs no thread for ever."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import pytest
from botocore.eventstream import EventStreamBuffer

from cachepoint.emulator import BedrockEmulator, Reply
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
        (head("Content-Length: 2", "Content-Length: 3") + b"{}", 400, "2 values of Content-Length"),
        (head("Transfer-Encoding: gzip, chunked") + chunk(BODY), 400, "can only be chunked"),
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


@pytest.mark.parametrize("raw", [b"POST", f"POST {PATH} HTTP/1.1\r\nHost: b\r\n".encode()])
def test_half_a_head_is_told_when_its_time_is_over(bedrock, monkeypatch, raw):
    monkeypatch.setattr(connection, "_REQUEST_SECONDS", 0.2)
    status, answer = send(bedrock, raw)
    assert (status, answer["message"]) == (408, "The request did not arrive in time.")
    assert bedrock.calls == ()


def test_a_connection_on_which_nothing_begins_is_ended(bedrock, monkeypatch):
    monkeypatch.setattr(connection, "_IDLE_SECONDS", 0.2)
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        assert client.recv(100) == b""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x00\xa5\x01\r\n", 400),
        (b"\0" * 100 + b"\n", 400),
        (b"POST\r\n", 400),
        (b"POST / HTTP/9.9\r\n\r\n", 400),
        (b"POST / SPDY\r\n\r\n", 400),
        (b"POST /" + b"a" * 100_000, 413),
        (head(*["a: b"] * 200), 413),
        (head(*["a: " + "b" * 1_000] * 90), 413),
        (head("a: " + "b" * 100_000), 413),
    ],
)
def test_a_head_that_is_none_is_refused_in_the_form_of_the_service(bedrock, raw, status):
    answered, answer = send(bedrock, raw, end=True)
    assert (answered, list(answer)) == (status, ["message"])


def test_who_sends_on_gets_the_refusal_all_the_same(bedrock):
    """A server that closes while bytes arrive has the connection reset, and its answer with it."""
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        client.sendall(head("Content-Length: 10000000000"))
        time.sleep(0.1)
        client.sendall(b" " * 300_000)
        assert read(client)[0] == 413


def test_half_open_connections_leave_it_answering_and_its_threads_bounded(bedrock):
    before = threading.active_count()
    halves = [socket.create_connection(("127.0.0.1", bedrock.port), timeout=10) for _ in range(500)]
    try:
        for number, half in enumerate(halves):
            with suppress(ConnectionError):  # the first ones made room
                half.sendall((b"", head("Content-Length: 100") + b"{", b"POST /")[number % 3])
        assert post(bedrock, BODY)[0] == 200
        assert threading.active_count() - before <= connection._MOST_THREADS
    finally:
        for half in halves:
            half.close()


def test_who_is_being_answered_is_not_ended_to_make_room(monkeypatch):
    monkeypatch.setattr(connection, "_MOST_THREADS", 2)
    begun, go_on = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        go_on.wait(10)
        return Reply.text("late")

    with BedrockEmulator(responder=slow) as bedrock, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, bedrock, BODY)
        assert begun.wait(10)
        with ExitStack() as stack:
            for _ in range(5):
                address = ("127.0.0.1", bedrock.port)
                stack.enter_context(closing(socket.create_connection(address, timeout=10)))
            time.sleep(0.2)
            go_on.set()
            status, _, body = answer.result(10)
    assert (status, body["output"]["message"]["content"]) == (200, [{"text": "late"}])


def test_it_stops_while_all_its_threads_are_at_work(monkeypatch):
    monkeypatch.setattr(connection, "_MOST_THREADS", 1)
    go_on = threading.Event()

    def slow(request):
        go_on.wait(10)
        return Reply.text("late")

    bedrock = BedrockEmulator(responder=slow).start()
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        client.sendall(head(f"Content-Length: {len(BODY)}") + BODY)
        time.sleep(0.1)
        with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)):
            time.sleep(0.1)
            bedrock.stop()
            go_on.set()


def test_an_old_client_gets_a_stream_without_chunks(bedrock):
    """HTTP/1.0 has none: the connection's end is the stream's."""
    raw = f"POST {PATH}-stream HTTP/1.0\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    with closing(socket.create_connection(("127.0.0.1", bedrock.port), timeout=10)) as client:
        client.sendall(raw)
        data = b"".join(iter(lambda: client.recv(65_536), b""))
    head_, _, body = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head_
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    kinds = [event.headers[":event-type"] for event in buffer]
    assert (kinds[0], kinds[-1]) == ("messageStart", "metadata")
