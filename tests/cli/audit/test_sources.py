"""Files and their lines, also of files that are broken in places."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.cli.audit import sources
from cachepoint.cli.audit.formats.logged import UnusableError
from cachepoint.cli.audit.sources import Bodies, lines, log_files


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("lines") / "log.gz"


texts = st.lists(st.text("ab\u00e9 ", max_size=20), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(texts, max_size=4), st.integers(1, 200))
def test_the_lines_of_members_are_those_of_the_text(path, members, piece):
    whole = ["".join(line + "\n" for line in member) for member in members]
    before, sources._PIECE = sources._PIECE, piece
    try:
        path.write_bytes(b"".join(gzip.compress(text.encode()) for text in whole))
        packed = list(lines(path))
        path.write_bytes("".join(whole).encode())
        plain = list(lines(path))
    finally:
        sources._PIECE = before
    expected = "".join(whole).encode().split(b"\n")[:-1]
    assert [line.text for line in plain] == expected
    assert [line.text for line in packed] == (expected if members else [])
    assert [line.number for line in packed] == list(range(1, len(packed) + 1))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_what_is_behind_garbage_is_read(path, garbage):
    good = gzip.compress(b"one\ntwo\n")
    path.write_bytes(good + b"\x1f\x8b\x08" + garbage + good)
    found = list(lines(path))
    assert [line.text for line in found[:2]] == [b"one", b"two"]
    assert any(line.fault == "broken gzip" for line in found)


def test_a_file_that_ends_within_a_member_says_so(path):
    path.write_bytes(gzip.compress(b"one\ntwo\n") + gzip.compress(b"three\nfour\n")[:-6])
    found = list(lines(path))
    assert [line.text for line in found if line.fault is None][:2] == [b"one", b"two"]
    assert found[-1].fault == "broken gzip"


def test_a_line_without_an_end_is_not_held(path, monkeypatch):
    monkeypatch.setattr(sources, "MOST", 1_000)
    monkeypatch.setattr(sources, "_PIECE", 600)
    path.write_bytes(b"x" * 5_000 + b"\nend\n")
    found = list(lines(path))
    assert found[-1].text == b"end"
    assert {line.fault for line in found[:-1]} == {"longer than 0 MB", None}


def test_bodies_and_checks_are_no_logs(tmp_path):
    for name in ("a.json.gz", "b.jsonl", "data/c.json.gz", "amazon-bedrock-logs-permission-check", "d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in log_files([tmp_path])] == ["a.json.gz", "b.jsonl"]
    assert log_files([tmp_path / "d.png", tmp_path / "d.png"]) == [tmp_path / "d.png"]


def test_a_body_is_found_below_any_of_the_folders_of_its_address(tmp_path):
    place = tmp_path / "eu" / "data" / "1_input.json.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(gzip.compress(b"{}"))
    for root in (tmp_path, tmp_path / "eu"):
        assert Bodies([root])("s3://bucket/AWSLogs/eu/data/1_input.json.gz") == b"{}"


@pytest.mark.parametrize(
    "address", ["s3://bucket/../secret", "file:///etc/passwd", "s3://bucket/none", "s3://bucket/broken.gz"]
)
def test_no_other_file_is_read_for_a_body(address, tmp_path):
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"{}")[:-9])
    (tmp_path.parent / "secret").write_bytes(b"{}")
    with pytest.raises(UnusableError):
        Bodies([tmp_path])(address)
