"""A store behind TLS, a password and a certificate of one's own."""

import asyncio
import logging

import pytest
import trustme

from cachepoint.core.memory.deeds import Claim, Learned
from cachepoint.memory import Table, connect
from tests.memory.changes import NOW, Asked, step
from tests.memory.servers import KEY, PATIENT, PROGRAM, Server, free_port
from tests.memory.test_shared import PLACE, on, recall, record

PASSWORD = "correct-horse-battery"
MANY = [b"%016d" % n for n in range(3_000)]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory):
    """The port of one."""
    if PROGRAM is None:
        pytest.skip(reason="neither redis-server nor valkey-server is installed")
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(folder / "key.pem")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    files = {"cert-file": "cert.pem", "key-file": "key.pem", "ca-cert-file": "ca.pem"}
    options = [part for name, file in files.items() for part in (f"--tls-{name}", str(folder / file))]
    running = Server(folder, "--tls-port", str(port), "--tls-auth-clients", "no", *options)
    with running.client() as client:
        client.config_set("requirepass", PASSWORD)
    yield port
    running.stop()


@pytest.fixture
def url(server, authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    return f"rediss://default:{PASSWORD}@127.0.0.1:{server}/0?ssl_ca_certs={tmp_path / 'trusted.pem'}"


def test_what_one_wrote_another_reads(url, connected_to):
    record(connected_to(url), on(PLACE, Learned("5m", NOW, 4_000)))

    assert recall(connected_to(url), Table.PLACES, PLACE)[PLACE].tokens == 4_000


def test_answers_of_many_records_come_whole_sync_and_awaited(url, connected_to):
    one, other = connected_to(url), connected_to(url)
    record(one, *[on(name, Claim(b"holder" * 40, NOW)) for name in MANY])

    async def read():
        return await other.arecall(Asked(Table.PLACES, *MANY), PATIENT)

    assert recall(one, Table.PLACES, *MANY).keys() == set(MANY)
    assert asyncio.run(read())[Table.PLACES].keys() == set(MANY)
    asyncio.run(one.arecord(step([on(name, Claim(b"x", NOW)) for name in MANY]), PATIENT))
    assert one.is_shared
    assert other.is_shared


@pytest.mark.parametrize("wrong", ["certificate", "password"])
def test_who_is_not_let_in_goes_on_alone_and_shows_no_password(wrong, url, server, connected_to, caplog):
    caplog.set_level(logging.DEBUG)
    memory = connected_to(url.partition("?")[0] if wrong == "certificate" else url.replace("horse", "mule"))

    assert not memory.open(PATIENT)
    assert memory.record(step([on(PLACE, Claim(b"x", NOW))]), PATIENT)[Table.PLACES][PLACE].holder == b"x"
    said = caplog.text + repr(memory)
    assert f"rediss://127.0.0.1:{server}" in said
    assert not any(part in said for part in ("correct", "battery"))


@pytest.fixture
def connected_to():
    made = []

    def make(url):
        made.append(connect(url, key=KEY))
        return made[-1]

    yield make
    for memory in made:
        memory.close()
