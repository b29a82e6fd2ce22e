"""The image and the compose file of `examples/emulator`: no container runs here, but all that one would run does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cachepoint.cli import build
from cachepoint.emulator import BedrockEmulator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "emulator"
IMAGE = (FOLDER / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))


def entrypoint():
    return json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", IMAGE, re.MULTILINE)[1])


def health():
    return json.loads(re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", IMAGE, re.MULTILINE)[1])


def test_what_is_copied_is_there():
    copied = [name for names in re.findall(r"^COPY (.+) \S+$", IMAGE, re.MULTILINE) for name in names.split()]
    assert "src" in copied
    assert all((ROOT / name).exists() for name in copied)


def test_its_port_is_one():
    ports = set(re.findall(r"\d{4,5}", " ".join([*entrypoint(), *health()])))
    ports |= set(re.findall(r"^EXPOSE (\d+)$", IMAGE, re.MULTILINE))
    ((published,),) = [service["ports"] for service in COMPOSE["services"].values()]
    host, *both = published.split(":")
    assert host == "127.0.0.1"
    assert ports == set(both) == {"4242"}


@pytest.mark.parametrize("more", [[], COMPOSE["services"]["bedrock"]["command"]])
def test_what_it_runs_is_a_command_of_ours(more):
    program, *arguments = entrypoint()
    assert program == "cachepoint"
    # As the container has it, but at no other machine's reach and at any port.
    here = ["127.0.0.1" if one == "0.0.0.0" else "0" if one == "4242" else one for one in arguments]
    done = CliRunner().invoke(build(), [*here, *more, "--for", "0.01"])
    assert done.exit_code == 0, done.output


def test_its_health_is_asked_for_where_the_emulator_has_it():
    python, *arguments = health()
    assert python == "python"
    with BedrockEmulator() as bedrock:
        command = [sys.executable, *(one.replace("4242", str(bedrock.port)) for one in arguments)]
        assert subprocess.run(command, check=False, timeout=30).returncode == 0
    assert subprocess.run(command, check=False, timeout=30, capture_output=True).returncode != 0


def test_the_compose_file_builds_this_image():
    (service,) = COMPOSE["services"].values()
    context = (FOLDER / service["build"]["context"]).resolve()
    assert context == ROOT
    assert context / service["build"]["dockerfile"] == FOLDER / "Dockerfile"
