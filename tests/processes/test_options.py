"""Every option of `subprocess.Popen` reaches it, and what the pipes cannot do is refused."""

import asyncio
import os
import pathlib
import signal
import subprocess

import pytest
from children import Watcher, python

from toolkit import finish, open_descriptors, until


async def output_of(*command, **options):
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, **options)
    output, _ = await process.communicate()
    await until(lambda: process._transport._loop is None)
    process._transport.close()
    return output.decode().strip()


def test_directory_and_environment(loop, tmp_path):
    async def main():
        code = "import os; print(os.getcwd(), os.environ.get('MARK'))"
        assert await output_of(*python(code), cwd=tmp_path, env={"MARK": "yes"}) == f"{tmp_path} yes"
        assert await output_of(pathlib.Path("/bin/echo"), b"bytes") == "bytes"

    finish(loop, main())


def test_descriptors_are_passed(loop):
    async def main():
        read_end, write_end = os.pipe()
        os.write(write_end, b"passed")
        os.close(write_end)
        try:
            code = f"import os; print(os.read({read_end}, 100))"
            assert await output_of(*python(code), pass_fds=(read_end,)) == "b'passed'"
        finally:
            os.close(read_end)

    finish(loop, main())


def test_sessions_and_groups(loop):
    async def main():
        code = "import os; print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())"
        assert await output_of(*python(code), start_new_session=True) == "True True"
        assert await output_of(*python(code), process_group=0) == "False True"
        assert await output_of(*python(code)) == "False False"

    finish(loop, main())


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser may become somebody else")
def test_users_and_masks(loop):
    async def main():
        options = {"user": 65534, "group": 65533, "extra_groups": [65532], "umask": 0o027}
        assert await output_of("sh", "-c", "id -u; id -g; id -G; umask", **options) == (
            "65534\n65533\n65533 65532\n0027"
        )

    finish(loop, main())


def test_a_program_under_another_name(loop):
    async def main():
        command = ("renamed", "-c", 'ps -o args= $$ 2>/dev/null; printf %s "$0"')
        assert (await output_of(*command, executable="/bin/sh")).endswith("renamed")

    finish(loop, main())


def test_a_function_runs_before_the_program(loop):
    async def main():
        assert await output_of("sh", "-c", "umask", preexec_fn=lambda: os.umask(0o31)) == "0031"

    finish(loop, main())


def test_a_function_that_fails_before_the_program(loop):
    def failing():
        raise ZeroDivisionError

    async def main():
        before = open_descriptors()
        with pytest.raises(subprocess.SubprocessError, match="Exception occurred in preexec_fn"):
            await asyncio.create_subprocess_exec("true", stdin=subprocess.PIPE, preexec_fn=failing)
        assert open_descriptors() == before

    finish(loop, main())


TEXT_MODE = [
    ({"universal_newlines": True}, "universal_newlines must be False"),
    ({"bufsize": 4096}, "bufsize must be 0"),
    ({"text": True}, "text must be False"),
    ({"encoding": "utf-8"}, "encoding must be None"),
    ({"errors": "strict"}, "errors must be None"),
]


@pytest.mark.parametrize(("options", "message"), TEXT_MODE, ids=[text for _, text in TEXT_MODE])
def test_text_mode_is_refused(loop, options, message):
    async def main():
        with pytest.raises(ValueError, match=f"^{message}$"):
            await loop.subprocess_exec(Watcher, "true", **options)
        with pytest.raises(ValueError, match=f"^{message}$"):
            await loop.subprocess_shell(Watcher, "true", **options)
        with pytest.raises(ValueError, match=f"^{message}$"):
            await asyncio.create_subprocess_exec("true", **options)

    finish(loop, main())


def test_a_shell_where_none_belongs_and_none_where_one_does(loop):
    async def main():
        with pytest.raises(ValueError, match="^shell must be False$"):
            await loop.subprocess_exec(Watcher, "true", shell=True)
        with pytest.raises(ValueError, match="^shell must be True$"):
            await loop.subprocess_shell(Watcher, "true", shell=False)
        for command in (["true"], None, 7):
            with pytest.raises(ValueError, match="^cmd must be a string$"):
                await loop.subprocess_shell(Watcher, command)

    finish(loop, main())


@pytest.mark.parametrize(
    ("command", "options", "error"),
    [
        ((7,), {}, TypeError),
        (("true", 7), {}, TypeError),
        (("true",), {"no_such_option": 1}, TypeError),
        (("/no/such/program",), {}, FileNotFoundError),
        (("/",), {}, PermissionError),
        (("true",), {"cwd": "/no/such/directory"}, FileNotFoundError),
        (("true\0",), {}, ValueError),
    ],
    ids=str,
)
def test_what_cannot_be_started_leaves_nothing(loop, command, options, error):
    async def main():
        before = open_descriptors()
        with pytest.raises(error):
            await loop.subprocess_exec(Watcher, *command, **options)
        assert open_descriptors() == before
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    finish(loop, main())


def test_a_shell_gets_bytes_too(loop):
    async def main():
        transport, protocol = await loop.subprocess_shell(Watcher, b"printf bytes; kill -USR1 $$", stdin=None)
        await until(lambda: protocol.is_lost)
        assert protocol.data[1] == b"bytes"
        assert transport.get_returncode() == -signal.SIGUSR1
        transport.close()

    finish(loop, main())
