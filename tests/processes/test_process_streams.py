"""create_subprocess_exec and create_subprocess_shell: the `Process` that most programs use."""

import asyncio
import os
import subprocess
import sys

import pytest
from children import python

from toolkit import finish, until

PIPE = subprocess.PIPE


async def gone(process):
    """The transport of a process has nothing left to do."""
    await until(lambda: process._transport._loop is None)
    process._transport.close()


def test_communicate_feeds_and_collects(loop):
    async def main():
        code = (
            "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data); sys.stderr.write('!')"
        )
        process = await asyncio.create_subprocess_exec(*python(code), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        data = os.urandom(2_000_000)
        assert await process.communicate(data) == (data, b"!")
        assert process.returncode == 0
        await gone(process)

    finish(loop, main())


def test_a_child_that_exits_before_its_output_is_read_loses_nothing(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *python("import os; os.write(1, bytes(60_000)); os.write(2, b'x')"), stdout=PIPE, stderr=PIPE
        )
        process._transport.get_pipe_transport(1).pause_reading()
        await until(lambda: process.returncode is not None)
        process._transport.get_pipe_transport(1).resume_reading()
        assert await process.stdout.read() == bytes(60_000)
        assert await process.stderr.read() == b"x"
        assert await process.wait() == 0
        await gone(process)

    finish(loop, main())


def test_a_small_limit_pauses_the_pipe(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *python("import sys; sys.stdout.write('x' * 1_000_000)"), stdout=PIPE, limit=1000
        )
        received = bytearray()
        while data := await process.stdout.read(777):
            received += data
        assert received == b"x" * 1_000_000
        assert await process.wait() == 0
        await gone(process)

    finish(loop, main())


def test_stdin_drains_when_the_child_reads(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *python("import sys; print(len(sys.stdin.read()))"), stdin=PIPE, stdout=PIPE
        )
        for _ in range(20):
            process.stdin.write(b"x" * 50_000)
            await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b"1000000\n"
        assert await process.wait() == 0
        await gone(process)

    finish(loop, main())


def test_a_child_that_does_not_read_breaks_the_pipe(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("true", stdin=PIPE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                process.stdin.write(b"x" * 50_000)
                await process.stdin.drain()
        await process.wait()
        ignored = await asyncio.create_subprocess_exec("true", stdin=PIPE)
        assert await ignored.communicate(b"x" * 1_000_000) == (None, None)
        await gone(process)
        await gone(ignored)

    finish(loop, main())


def test_output_goes_on_after_the_child_while_a_grandchild_writes(loop):
    async def main():
        process = await asyncio.create_subprocess_shell("cat & exec printf first", stdin=PIPE, stdout=PIPE)
        # The shell gives its background jobs /dev/null to read.
        assert await process.stdout.read() == b"first"
        assert await process.wait() == 0
        await gone(process)

    finish(loop, main())


@pytest.mark.epicycle_only
def test_the_standard_streams_are_pipes_that_can_be_reopened(loop):
    code = (
        "import os, stat\n"
        "assert all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (0, 1, 2))\n"
        "data = open('/dev/stdin', 'rb').read()\n"
        "open('/proc/self/fd/1', 'wb').write(data)\n"
        "open('/dev/stderr', 'wb').write(data)\n"
    )

    async def main():
        process = await asyncio.create_subprocess_exec(*python(code), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await process.communicate(b"hello") == (b"hello", b"hello")
        assert process.returncode == 0
        await gone(process)

    finish(loop, main())


def test_files_of_the_program_for_the_standard_streams(loop, tmp_path):
    async def main():
        (tmp_path / "in").write_bytes(b"from a file")
        with open(tmp_path / "in", "rb") as given, open(tmp_path / "out", "wb") as taken:
            process = await asyncio.create_subprocess_exec("cat", stdin=given, stdout=taken.fileno())
            assert await process.wait() == 0
        assert (tmp_path / "out").read_bytes() == b"from a file"
        assert process.stdin is None
        assert process.stdout is None
        await gone(process)

    finish(loop, main())


def test_one_child_feeds_another(loop):
    async def main():
        read_end, write_end = os.pipe()
        first = await asyncio.create_subprocess_shell("printf 'b\na\n'", stdout=write_end)
        os.close(write_end)
        second = await asyncio.create_subprocess_exec("sort", stdin=read_end, stdout=PIPE)
        os.close(read_end)
        assert await second.communicate() == (b"a\nb\n", None)
        assert await first.wait() == 0
        await gone(first)
        await gone(second)

    finish(loop, main())


def test_a_cancelled_wait_leaves_the_child_alone(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        assert process.returncode is None
        assert await process.communicate(b"still there") == (b"still there", None)
        assert process.returncode == 0
        await gone(process)

    finish(loop, main())


def test_many_children_at_once(loop):
    async def one(number):
        process = await asyncio.create_subprocess_shell(f"cat; exit {number}", stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(str(number).encode())
        await gone(process)
        return int(output), process.returncode

    async def main():
        assert await asyncio.gather(*map(one, range(60))) == [(number, number) for number in range(60)]

    finish(loop, main(), timeout=60)


def test_the_childs_python_sees_no_descriptor_of_ours(loop):
    async def main():
        code = "import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd')))"
        process = await asyncio.create_subprocess_exec(sys.executable, "-ISc", code, stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate()
        # The fourth is the directory.
        assert output == b"[0, 1, 2, 3]\n"
        await gone(process)

    finish(loop, main())
