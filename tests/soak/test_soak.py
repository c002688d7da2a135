"""Every check of the soak, cut short, so that it stays alive; `make soak` runs them in full."""

import os
import pathlib
import random
import subprocess
import sys

import pytest
from scenarios import CHECKS, Setting, Skipped
from scenarios.decoys import Decoys, Witness
from scenarios.identities import ANSWER, ASK, Expected, MisplacedError, identity, message

from toolkit import child_environment, finish, tcp_pair, until

RUN = pathlib.Path(__file__).with_name("run.py")


@pytest.mark.epicycle_only
# An await that is cancelled before it began leaves sockets to the collector, which tells.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", list(CHECKS))
def test_in_short(loop_name, name):
    try:
        CHECKS[name](Setting(loop_name, seconds=0.2, connections=20, share=0.004), {})
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("cut", [1, 7, 100, 100_000])
def test_a_stream_is_what_was_said(cut):
    whose = identity(5)
    said = b"".join(message(whose, ASK, number) for number in range(50))
    heard = Expected(ASK)
    numbers = [n for at in range(0, len(said), cut) for n in heard.feed(said[at : at + cut])]
    assert numbers == list(range(50)) and heard.whose == whose and heard.is_between


@pytest.mark.parametrize(
    "wrong",
    [
        message(identity(6), ANSWER, 1),
        message(identity(5), ASK, 1),
        message(identity(5), ANSWER, 2),
        message(identity(5), ANSWER, 1)[1:],
        b"\0",
    ],
    ids=["of another", "of the other side", "one lost", "a byte lost", "a byte too many"],
)
def test_what_does_not_belong_is_noticed(wrong):
    heard = Expected(ANSWER, identity(5))
    heard.feed(message(identity(5), ANSWER, 0))
    with pytest.raises(MisplacedError):
        heard.feed(wrong)


@pytest.mark.parametrize("replaced", [False, True], ids=["closed", "closed and taken"])
def test_a_decoy_notices_who_closes_it(replaced):
    decoys = Decoys(random.Random(1))
    decoys.churn()
    victim = next(iter(decoys._files))
    os.close(victim)
    if replaced:
        assert os.memfd_create("another") == victim
    decoys.close()
    if replaced:
        os.close(victim)
    assert len(decoys.wrong) == 1 and f"descriptor {victim} " in decoys.wrong[0]


def test_a_witness_notices_what_is_not_for_it(loop):
    wrong = []
    witness = Witness(b"<1>", wrong)

    async def main():
        with tcp_pair() as (mine, other):
            transport, _ = await loop.create_connection(lambda: witness, sock=mine.dup())
            other.send(b"<1><1>")
            await until(lambda: witness.heard == b"<1><1>")
            assert wrong == []
            other.send(b"<2>")
            await until(lambda: wrong)
            transport.abort()
            await until(lambda: witness.is_lost)

    finish(loop, main())
    assert len(wrong) == 2 and "heard" in wrong[0] and "lost" in wrong[1]


def soak(*arguments):
    return subprocess.run(
        [sys.executable, str(RUN), *arguments],
        capture_output=True,
        text=True,
        env=child_environment(),
        timeout=60,
    )


def test_the_driver_counts():
    done = soak("--only", "level.callbacks", "--share", "0.01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "soak: 1 passed, 0 failed"


def test_the_driver_knows_its_checks():
    assert soak("--list").stdout.splitlines() == list(CHECKS)
    done = soak("--only", "nothing")
    assert done.returncode == 2 and "no check is called 'nothing'" in done.stderr
