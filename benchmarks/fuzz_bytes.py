"""Bytes that find their own way: a fuzzer that is guided by what code an input reaches, on what is read.

Each reader of bytes in `fuzz_readers.py` in a process of its own, by atheris (libFuzzer), from a few right
inputs on. It needs the group `fuzz` of pyproject.toml: where atheris is not installed it says so and ends.

    python benchmarks/fuzz_bytes.py [NAME ...] [--inputs 200000] [--seed 1] [--json]

`--inputs` is the sum of all. It ends with an error where anything leaves that is no error of ours; the input
is printed, as Python writes it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

# By name: how much of all inputs each has, in a hundred.
SHARES = {"logs": 40, "files": 15, "reports": 15, "saved": 15, "bodies": 15}
SEEDS = 40
_DONE = re.compile(r"^Done (\d+) runs", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz one reader, in this process; it does not return."""
    import atheris

    with atheris.instrument_imports(include=["cachepoint"]):
        import fuzz_readers

    def one(data: bytes) -> None:
        try:
            reader.read(data)
        except Exception:
            print(f"{name} fails of {data!r}", file=sys.stderr)
            raise

    with fuzz_readers.readers() as every:
        reader = next(each for each in every if each.name == name)
        atheris.Setup([name, *arguments], one)
        atheris.Fuzz()


def corpus(folder: Path, name: str, seed: int) -> None:
    """Some inputs to begin with."""
    import fuzz_readers

    with fuzz_readers.readers() as every:
        make: Callable[[Random], Any] = next(each.make for each in every if each.name == name)
    random = Random(seed)
    for number in range(SEEDS):
        made = make(random)
        (folder / str(number)).write_bytes(made if isinstance(made, bytes) else repr(made).encode())


def run(name: str, inputs: int, seed: int) -> dict[str, Any]:
    """Fuzz one reader in a process of its own: inputs, seconds, edges that were reached, and the fault."""
    with tempfile.TemporaryDirectory() as found:
        corpus(Path(found), name, seed)
        # A crash leaves its input there and not in the working directory.
        options = [
            f"-runs={inputs}",
            f"-seed={seed}",
            "-max_len=16384",
            "-timeout=10",
            f"-artifact_prefix={found}/",
        ]
        command = [sys.executable, __file__, "--one", name, *options, found]
        started = time.monotonic()
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = ended.stderr
    done, covered = _DONE.search(said), _COVERED.findall(said)
    return {
        "inputs": int(done[1]) if done else 0,
        "seconds": round(time.monotonic() - started, 1),
        "reached": int(covered[-1]) if covered else 0,
        "fault": None if ended.returncode == 0 and done else said[-6_000:],
    }


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *SHARES], help="only these readers")
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if find_spec("atheris") is None:
        print("skipped: atheris is not installed (pip install --group fuzz)")
        return
    names = chosen.names or list(SHARES)
    whole = sum(SHARES[name] for name in names)
    found = {name: run(name, chosen.inputs * SHARES[name] // whole, chosen.seed) for name in names}
    if chosen.json:
        print(json.dumps(found))
    else:
        for name, one in found.items():
            said = "" if one["fault"] is None else "  a fault"
            print(f"{name:10}{one['inputs']:>10,}{one['seconds']:>8.1f} s{one['reached']:>8,} edges{said}")
    faults = [one["fault"] for one in found.values() if one["fault"] is not None]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(f"{len(faults)} of {len(found)} readers failed")


if __name__ == "__main__":
    main()
