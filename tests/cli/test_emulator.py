import re
import signal
import socket
import subprocess
import sys

import boto3
import pytest

from cachepoint.cli.emulator import _summary

URL = re.compile(r"http://127\.0\.0\.1:\d+")
LONG = "A sentence of a long manual that says how the machine is cleaned. " * 120


def start(*args):
    command = [sys.executable, "-u", "-m", "cachepoint.cli", "emulator", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def call(url):
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    client.converse(
        modelId="us.anthropic.claude-sonnet-4-6",
        system=[{"text": LONG}, {"cachePoint": {"type": "default"}}],
        messages=[{"role": "user", "content": [{"text": "How?"}]}],
    )
    client.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a console has no SIGTERM there")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(stop):
    with start() as process:
        try:
            # The whole introduction: what is read ahead here would be lost to communicate().
            head = "".join(process.stdout.readline() for _ in range(9))
            url = URL.search(head)[0]
            call(url)
            call(url)
            process.send_signal(stop)
            rest, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, err
    out = head + rest
    assert f"export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url}" in out
    assert "2 calls answered, 0 refused" in out
    assert re.search(r"\n2 calls.* [\d,]{4,} tokens read", out)
    assert err == ""


def test_it_stops_by_itself():
    with start("--for", "0.1", "--reroute", "0.5", "--seed", "3") as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "0 calls answered" in out


def test_a_busy_port_is_told():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        start("--port", str(taken.getsockname()[1])) as process,
    ):
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.startswith("cachepoint: ")


def test_a_wrong_probability_is_refused():
    with start("--reroute", "2") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "--reroute" in err


def test_the_summary_says_what_it_does_not_count():
    assert _summary((), 0) == "0 calls answered, 0 refused: 0 tokens read, 0 written, 0 uncached"
    assert _summary((), 1_200).endswith("(without the 1,200 calls before these)")
