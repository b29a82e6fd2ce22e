"""The shared secret, what is told of it, and what stands in the store."""

import base64
import copy
import logging
import pickle
import re
import sys

import pytest
from builders import SONNET, assistant, tool, usage, user

import cachepoint.memory as room
from cachepoint import PromptCache
from cachepoint.core.memory.deeds import Claim, Learned, Seen
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.prompt.documents import MIN_DOCUMENT, retrieved
from cachepoint.memory import Table, connect
from cachepoint.memory.store.keys import secrets_of
from tests.memory.changes import NOW
from tests.memory.servers import KEY, PATIENT
from tests.memory.test_shared import PLACE, on, prompt, recall, record

SECRET = bytes(range(32))
OTHER = "ab" * 32
CANARY = "Xanthippe-4711"


class TestSecrets:
    def test_hex_base64_and_bytes_are_one_secret(self):
        ways = (
            SECRET,
            SECRET.hex(),
            base64.b64encode(SECRET).decode(),
            base64.urlsafe_b64encode(SECRET).decode(),
        )
        assert len({secrets_of(way) for way in ways}) == 1

    @pytest.mark.parametrize("given", ["x" * 32, "a pass phrase of quite some length!", "p" * 200, "ü" * 32])
    def test_any_text_that_is_long_enough_will_do(self, given):
        (key,) = secrets_of(given)
        assert len(key) == 32

    @pytest.mark.parametrize(
        "given", ["", None, "short", "ab" * 31, b"x" * 31, f"{OTHER},short", ",".join([OTHER] * 3)]
    )
    def test_others_are_refused_and_not_shown(self, given):
        with pytest.raises(ValueError, match="key") as refused:
            connect("redis://h", key=given)
        assert not given or str(given) not in str(refused.value)
        if given != ",".join([OTHER] * 3):
            assert 'python -c "import secrets; print(secrets.token_hex(32))"' in str(refused.value)

    def test_it_may_stand_in_the_environment(self, monkeypatch):
        monkeypatch.setenv("CACHEPOINT_KEY", OTHER)
        assert connect("redis://h").key == secrets_of(OTHER)[0]

    def test_a_cache_takes_the_key_of_its_memory(self):
        memory = connect("redis://h", key=OTHER)

        assert PromptCache(memory=memory)._key == memory.key
        assert PromptCache(memory=memory, key=memory.key)._key == memory.key
        with pytest.raises(ValueError, match="the memory has a key of its own"):
            PromptCache(memory=memory, key=b"another")


URL = "redis://jo:pass%2Fword@db.invalid:6380/2"


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "http://h",
            "localhost:6379",
            "redis//x",
            "redis://:pass/word@h:6379",
            "redis://u:p@h:port",
            "redis://h?nosuch=1",
        ],
    )
    def test_what_is_none_is_refused_and_not_shown(self, url):
        with pytest.raises(ValueError, match="the URL of the memory") as refused:
            connect(url, key=KEY)
        assert not re.search("pass|word|nosuch|u:p", str(refused.value).partition(";")[0])

    @pytest.mark.parametrize(
        "scheme", ["redis", "rediss", "valkey", "valkeys", "redis+cluster", "valkeys+cluster"]
    )
    def test_its_kinds(self, scheme):
        memory = connect(
            f"{scheme}://u:secret@db.invalid:6380/0?socket_keepalive=true&max_connections=5", key=KEY
        )
        assert repr(memory) == f"<SharedMemory {scheme}://db.invalid:6380/0>"

    def test_a_socket(self):
        assert "/run/redis.sock" in repr(connect("unix:///run/redis.sock?db=1", key=KEY))

    def test_password_and_key_are_nowhere_to_be_seen(self, caplog):
        caplog.set_level(logging.DEBUG)
        memory = connect(URL, key=OTHER)
        memory.open(1.0)
        shown = [
            repr(memory),
            str(memory),
            repr(memory._settings),
            repr(PromptCache(memory=memory)),
            caplog.text,
        ]
        memory.close()

        for secret in ("pass/word", "pass%2Fword", "jo:", OTHER, repr(memory.key)):
            assert secret not in "".join(shown)
        assert "not used for now" in caplog.text

    def test_a_wrong_password_is_an_outage_like_any_other(self, server, caplog):
        memory = connect(server.url.replace("127.0.0.1", "jo:s3cret@127.0.0.1"), key=KEY)
        assert not memory.open(PATIENT)
        memory.close()
        assert "s3cret" not in caplog.text

    def test_a_copy_is_the_same_and_a_pickled_one_holds_all(self):
        memory = connect(URL, key=f"{OTHER},{KEY}", namespace="n")
        other = pickle.loads(pickle.dumps(memory))

        assert copy.deepcopy(memory) is copy.copy(memory) is memory
        assert (other.key, other.older_key, repr(other)) == (memory.key, memory.older_key, repr(memory))


class TestEnvironment:
    def test_it_gives_the_process_its_memory(self, server, monkeypatch):
        monkeypatch.setenv("CACHEPOINT_MEMORY", server.url)
        monkeypatch.setenv("CACHEPOINT_KEY", KEY)
        cache = PromptCache(memory=room.from_environment(), memory_timeout=PATIENT)
        cache.settle(cache.prepare(prompt(), SONNET), usage(write=4_000))
        cache.memory.close()
        with server.client() as client:
            assert client.dbsize()

    @pytest.mark.parametrize(
        ("url", "key", "says"),
        [
            ("redis://u:hidden@h", "", "secrets.token_hex"),
            ("redis://u:hidden@h", "short", "secrets.token_hex"),
            ("ftp://u:hidden@h", KEY, "URL"),
        ],
    )
    def test_what_is_lacking_is_one_warning(self, monkeypatch, caplog, url, key, says):
        monkeypatch.setenv("CACHEPOINT_MEMORY", url)
        monkeypatch.setenv("CACHEPOINT_KEY", key)

        assert room.from_environment() is None
        (said,) = caplog.records
        assert said.levelname == "WARNING"
        assert says in said.getMessage()
        assert "hidden" not in said.getMessage()

    def test_a_missing_extra_is_named(self, monkeypatch, caplog):
        for name in [n for n in sys.modules if n.startswith(("redis", "cachepoint.memory.connecting"))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ImportError, match=r'pip install "cachepoint\[redis\]"'):
            connect("redis://h", key=KEY)
        monkeypatch.setenv("CACHEPOINT_MEMORY", "redis://h")
        assert room.from_environment() is None
        assert "cachepoint[redis]" in caplog.text

    def test_the_shared_cache_takes_it(self, monkeypatch):
        """In a process of its own, as it is made with the module."""
        import subprocess

        code = (
            "from cachepoint.aws.carrier import shared_cache; c = shared_cache();"
            "print(repr(c.memory), c._key == c.memory.key)"
        )
        env = {"CACHEPOINT_MEMORY": "redis://h:1/0", "CACHEPOINT_KEY": KEY, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.split("\n")[0] == "<SharedMemory redis://h:1/0> True"


class TestTwoKeys:
    def caches(self, server, connected, *keys):
        return [PromptCache(memory=connected(server, key=key), memory_timeout=PATIENT) for key in keys]

    def test_what_lives_under_the_old_key_is_read_with_the_new(self, server, connected):
        old, new = self.caches(server, connected, KEY, f"{OTHER},{KEY}")
        old.settle(old.prepare(prompt(), SONNET), usage(write=4_000))

        assert new.prepare(prompt(2), SONNET).plan.expected_read_tokens == 4_000
        assert new.faults == 0

    def test_what_the_new_one_wrote_is_read_where_the_old_one_counts(self, server, connected):
        """Rolled out in three steps: old,new then new,old then new."""
        first, second, third = self.caches(server, connected, f"{KEY},{OTHER}", f"{OTHER},{KEY}", OTHER)
        second.settle(second.prepare(prompt(), SONNET), usage(write=4_000))

        assert first.prepare(prompt(2), SONNET).plan.expected_read_tokens == 4_000
        assert third.prepare(prompt(2), SONNET).plan.expected_read_tokens == 4_000

    def test_a_text_is_cut_as_it_was_by_the_old_key(self, server, connected):
        document = "Close the valve before the pump is opened. " * 80
        request = {"messages": [user({"text": f"{document}\n\nQuestion: when?"})]}
        old, new = self.caches(server, connected, KEY, f"{OTHER},{KEY}")
        retrieved.announce([document])
        sent = old.prepare(request, SONNET).request
        retrieved.__init__(least=MIN_DOCUMENT)

        assert new.prepare(request, SONNET).request == sent
        assert next(b["text"] for b in sent["messages"][0]["content"] if "text" in b) == document.rstrip()

    def test_a_later_entry_counts_whichever_key_it_is_under(self, server, connected):
        old, new = self.caches(server, connected, KEY, f"{OTHER},{KEY}")
        new.settle(new.prepare(prompt(), SONNET), usage(read=0, write=0, fresh=9))
        old.settle(old.prepare(prompt(), SONNET), usage(write=4_000))

        assert new.prepare(prompt(2), SONNET).plan.expected_read_tokens == 4_000

    def test_by_another_key_nothing_is_found(self, server, connected):
        old, new = self.caches(server, connected, KEY, OTHER)
        old.settle(old.prepare(prompt(), SONNET), usage(write=4_000))

        assert not new.prepare(prompt(2), SONNET).plan.expected_read_tokens


def everything(client):
    """Every key, and what stands there, by its type's own command."""
    for key in client.keys("*"):
        assert client.type(key) == b"string"
        yield key
        yield client.get(key)


class TestText:
    def test_no_text_of_prompts_is_in_the_store(self, server, connected):
        document = f"The pump of {CANARY} is primed by hand. " * 80
        retrieved.announce([document])
        cache = PromptCache(
            memory=connected(server, namespace=CANARY), namespace=CANARY, memory_timeout=PATIENT
        )
        said = [user({"text": f"{document}\n\nQuestion of {CANARY}?"})]
        spec = {**tool("a", 400)["toolSpec"], "description": CANARY * 200, "name": "a"}
        for n in range(4):
            request = {
                "system": [{"text": f"You are {CANARY}. " * 300}],
                "toolConfig": {"tools": [{"toolSpec": spec}]},
                "messages": list(said),
            }
            call = cache.prepare(request, SONNET)
            cache.began(call)
            cache.settle(call, usage(read=2_000 * bool(n), write=900))
            said += [assistant({"text": f"{CANARY} {n}"}), user({"text": f"And {CANARY}? {n}"})]
        with server.client() as client:
            # That it would be found.
            client.set("planted", f"-{CANARY}-")
            stored = list(everything(client))

        assert len(stored) > 20
        assert sum(CANARY.encode() in one for one in stored) == 1

    def test_what_a_leaked_key_of_another_tenant_tells_is_nothing(self, server, connected):
        one, other = connected(server, key=KEY), connected(server, key=OTHER)
        for memory in (one, other):
            record(
                memory, on(PLACE, Seen(NOW)), on(PLACE, Claim(b"x", NOW)), on(PLACE, Learned("5m", NOW, 7))
            )
        with server.client() as client:
            names = client.keys("*")

        assert len(names) == 2
        assert len({name[:10] for name in names}) == 2
        assert recall(one, Table.PLACES, PLACE)


def test_the_memory_of_a_process_goes_by_no_key():
    assert PromptCache(memory=LocalMemory())._older is None
