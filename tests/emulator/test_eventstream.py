import json

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from cachepoint.emulator.wire.eventstream import encode_event, encode_exception


def decode(data: bytes):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


@given(st.text(), st.integers(0, 5))
def test_botocore_decodes_what_is_encoded(text, index):
    (event,) = decode(
        encode_event("contentBlockDelta", {"delta": {"text": text}, "contentBlockIndex": index})
    )
    payload = json.loads(event.payload)
    assert payload.pop("p")
    assert payload == {"delta": {"text": text}, "contentBlockIndex": index}
    assert event.headers == {
        ":event-type": "contentBlockDelta",
        ":content-type": "application/json",
        ":message-type": "event",
    }


def test_several_events_follow_each_other():
    data = b"".join(encode_event("messageStart", {"role": "assistant"}) for _ in range(3))
    assert len(decode(data)) == 3


@pytest.mark.parametrize("at", [0, 9, 30, -1])
def test_a_flipped_bit_does_not_pass_the_checksums(at):
    data = bytearray(encode_event("messageStart", {"role": "assistant"}))
    data[at] ^= 1
    with pytest.raises(ChecksumMismatch):
        decode(bytes(data))


def test_an_exception_has_its_own_headers():
    (event,) = decode(encode_exception("throttlingException", "slow down"))
    assert event.headers[":message-type"] == "exception"
    assert event.headers[":exception-type"] == "throttlingException"
    assert json.loads(event.payload) == {"message": "slow down"}
