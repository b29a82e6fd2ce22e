"""A cluster of three servers: every record in a slot of its own, and slots that move."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import redis
from builders import SONNET, usage
from redis.crc import key_slot

from cachepoint import PromptCache
from cachepoint.core.memory.deeds import Claim, Seen
from cachepoint.memory import Table, connect
from cachepoint.memory.wire.cluster import slot
from tests.memory.changes import NOW, Asked, step
from tests.memory.servers import KEY, PATIENT, PROGRAM, Server, waited
from tests.memory.test_shared import on, prompt, recall, record

KEYS = [b"%016d" % n for n in range(60)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip(reason="neither redis-server nor valkey-server is installed")
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with ExitStack() as running:
        servers = [Server(tmp_path_factory.mktemp(f"node{n}"), *options) for n in range(3)]
        for server in servers:
            running.callback(server.stop)
        together(servers)
        assert waited(lambda: all(map(agrees, servers)), 60)
        yield servers


def together(servers):
    """Each a third of the slots."""
    for n, server in enumerate(servers):
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(n * 5_462, min((n + 1) * 5_462, 16_384)))
            # It must be told before it knows any other.
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
    with servers[0].client() as client:
        for other in servers[1:]:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)


def agrees(server):
    with server.client() as client:
        whole = b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")
        return whole and len(client.execute_command("CLUSTER", "SLOTS")) == 3


@pytest.fixture
def make(cluster):
    made = []

    def make(**options):
        memory = connect(cluster[0].url.replace("redis:", "redis+cluster:"), key=KEY, **options)
        made.append(memory)
        assert memory.open(PATIENT)
        return memory

    for server in cluster:
        with server.client() as client:
            client.flushall()
    yield make
    for memory in made:
        memory.close()


def test_slots_are_redis_own():
    names = [b"cp1:{}%d" % n for n in range(9)] + [
        b"{a}b",
        b"x{a}{b}",
        b"{",
        b"}{",
        b"{{a}}",
        b"a{b",
        b"}a{b}",
    ]
    assert [slot(name) for name in names] == [key_slot(name) for name in names]


def test_records_are_spread_and_found(cluster, make):
    one, other = make(), make()
    record(one, *[on(key, Seen(NOW)) for key in KEYS])
    sizes = []
    for server in cluster:
        with server.client() as client:
            sizes.append(client.dbsize())

    assert recall(other, Table.PLACES, *KEYS).keys() == set(KEYS)
    assert min(sizes) > 5
    assert one.is_shared
    assert other.is_shared


def test_redis_py_finds_them_where_they_are(cluster, make):
    memory = make()
    record(memory, *[on(key, Seen(NOW)) for key in KEYS])
    with redis.cluster.RedisCluster("127.0.0.1", cluster[1].port, protocol=2) as client:
        assert all(client.get(memory._settings.keys.one(Table.PLACES, key)) for key in KEYS)


def test_awaited(cluster, make):
    memory = make()

    async def both():
        held = await memory.arecord(step([on(key, Claim(b"x", NOW)) for key in KEYS]), PATIENT)
        found = await memory.arecall(Asked(Table.PLACES, *KEYS), PATIENT)
        return held[Table.PLACES] == found[Table.PLACES]

    assert asyncio.run(both())
    assert asyncio.run(both())
    assert memory.is_shared


def test_of_many_one_holds_a_claim(cluster, make):
    workers = [make() for _ in range(3)]

    def claim(n):
        token = b"%d" % n
        return [
            record(workers[n % 3], on(key, Claim(token, NOW)))[Table.PLACES][key].holder for key in KEYS[:20]
        ]

    with ThreadPoolExecutor(9) as pool:
        assert all(len(set(told)) == 1 for told in zip(*pool.map(claim, range(9)), strict=True))


def test_a_worker_reads_what_another_wrote(cluster, make):
    one, other = (PromptCache(memory=make(), memory_timeout=PATIENT) for _ in range(2))
    one.settle(one.prepare(prompt(), SONNET), usage(write=4_000))

    assert other.prepare(prompt(2), SONNET).plan.expected_read_tokens == 4_000


def test_servers_that_lost_the_script_get_it_again(cluster, make):
    memory = make()
    for server in cluster:
        with server.client() as client:
            client.script_flush()
    record(memory, *[on(key, Seen(NOW)) for key in KEYS])
    assert recall(memory, Table.PLACES, *KEYS).keys() == set(KEYS)


def move(clients, number, source, target):
    """A slot with nothing in it, as `redis-cli --cluster reshard` does it."""
    ids = [client.execute_command("CLUSTER", "MYID") for client in clients]
    clients[target].execute_command("CLUSTER", "SETSLOT", number, "IMPORTING", ids[source])
    clients[source].execute_command("CLUSTER", "SETSLOT", number, "MIGRATING", ids[target])
    for client in (clients[target], clients[source], *clients):
        client.execute_command("CLUSTER", "SETSLOT", number, "NODE", ids[target])


def test_slots_that_moved_are_found_where_they_are_now(cluster, make):
    memory, key = make(), KEYS[0]
    number = slot(memory._settings.keys.one(Table.PLACES, key))
    with ExitStack() as opened:
        clients = [opened.enter_context(server.client()) for server in cluster]
        owner = number // 5_462
        move(clients, number, owner, (owner + 1) % 3)
        # What went to the old place is lost; the next trip asks who holds what.
        record(memory, on(key, Seen(NOW)))
        record(memory, on(key, Seen(NOW)))
        assert recall(memory, Table.PLACES, key)
        clients[(owner + 1) % 3].flushall()
        move(clients, number, (owner + 1) % 3, owner)
    assert memory.is_shared


def test_a_single_server_of_a_cluster_is_no_store(cluster, caplog):
    """A URL without +cluster: the server says where the records are, and one warning says so."""
    caplog.set_level(logging.WARNING, "cachepoint")
    memory = connect(cluster[0].url, key=KEY)
    memory.open(PATIENT)
    for n in range(20):
        memory.record(step([on(key, Seen(NOW)) for key in KEYS[n : n + 3]]), PATIENT)
    memory.close()

    assert [r for r in caplog.records if "redis+cluster://" in r.getMessage()]


def test_a_server_that_stalls_makes_no_call_late(cluster, make):
    memory = make()
    cluster[2].stall()
    try:
        took = []
        for _ in range(12):
            started = time.monotonic()
            memory.record(step([on(key, Seen(NOW)) for key in KEYS]), 0.05)
            took.append(time.monotonic() - started)
    finally:
        cluster[2].go_on()

    assert sorted(took)[-2] < 0.3
    assert waited(lambda: memory.is_shared, 15)
