"""What a program sees of itself is what it sees under ``python``."""

from __future__ import annotations

import json
import py_compile
import sys
import zipfile
from pathlib import Path

import pytest

LOOK_AROUND = """\
import json, sys
main = sys.modules["__main__"]
assert main.__dict__ is globals()
print(json.dumps({
    "argv": sys.argv,
    "path": sys.path,
    "globals": sorted(globals()),
    "name": __name__,
    "file": globals().get("__file__"),
    "cached": globals().get("__cached__", "absent"),
    "annotations": repr(globals().get("__annotations__", "absent")),
    "doc": __doc__,
    "package": __package__,
    "loader": getattr(__loader__, "__name__", type(__loader__).__name__),
    "spec": __spec__ and [__spec__.name, __spec__.origin, __spec__.parent],
    "builtins": str(type(__builtins__)),
    "code": sys._getframe().f_code.co_filename,
}, indent=1))
"""


def seen(completed) -> dict:
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    return json.loads(completed.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    for name in ("app/program.py", "app/__main__.py", "module.py", "package/__main__.py", "package/inner.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('"""A docstring."""\n' + LOOK_AROUND)
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "link.py").symlink_to(tmp_path / "app" / "program.py")
    py_compile.compile(str(tmp_path / "module.py"), cfile=str(tmp_path / "compiled.pyc"))
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", LOOK_AROUND)
    return tmp_path


@pytest.mark.parametrize(
    "target",
    [
        ["app/program.py"],
        ["./app/program.py", "one", "two words"],
        ["module.py", "--legacy", "--help", "-m", "-c"],
        ["link.py"],
        ["compiled.pyc", "x"],
        ["app", "x"],
        ["app/", "--debug"],
        ["app.zip", "x"],
        ["-m", "module", "x", "-y"],
        ["-m", "package", "x"],
        ["-m", "package.inner"],
        ["-mmodule", "x"],
        ["-c", LOOK_AROUND, "x", "--help"],
        ["-c" + LOOK_AROUND],
    ],
    ids=lambda target: " ".join(target).split("\n")[0],
)
@pytest.mark.parametrize("options", [[], ["-P"]], ids=["", "safe path"])
def test_program_sees_the_same(target, options, folder, python, epicycle):
    if options and target[0] in ("-m", "-mmodule"):
        pytest.skip("a module in the current folder cannot be found with a safe path")
    expected = seen(python(*options, *target, cwd=folder))
    assert seen(epicycle("run", *target, options=tuple(options), cwd=folder)) == expected


def test_absolute_path(folder, python, epicycle):
    program = folder / "app" / "program.py"
    assert seen(epicycle("run", program, "x")) == seen(python(program, "x"))


def test_program_from_standard_input(folder, python, epicycle):
    expected = seen(python("-", "x", cwd=folder, stdin=LOOK_AROUND))
    assert seen(epicycle("run", "-", "x", cwd=folder, stdin=LOOK_AROUND)) == expected


def test_options_of_ours_are_not_the_programs(folder, epicycle):
    found = seen(epicycle("run", "--debug", "--legacy", "module.py", "--debug", cwd=folder))
    assert found["argv"] == ["module.py", "--debug"]


def test_double_dash_ends_our_options(folder, epicycle):
    (folder / "-odd.py").write_text(LOOK_AROUND)
    assert seen(epicycle("run", "--", "-odd.py", "x", cwd=folder))["argv"] == ["-odd.py", "x"]


def test_modules_beside_the_program_are_found_first(write, python, epicycle):
    write("app/helper.py", "NAME = 'beside the program'")
    write("helper.py", "NAME = 'in the current folder'")
    program = write("app/program.py", "import helper; print(helper.NAME)")
    cwd = program.parent.parent
    assert epicycle("run", "app/program.py", cwd=cwd).stdout == python("app/program.py", cwd=cwd).stdout


@pytest.mark.parametrize("name", ["pickle", "argparse", "multiprocessing", "json"])
def test_program_may_have_its_own_module_of_a_standard_name(name, write, epicycle):
    """Nothing that asyncio does not need itself has been imported before the program."""
    write(f"{name}.py", "MINE = True")
    program = write("program.py", f"import {name}; print({name}.MINE)")
    completed = epicycle("run", program)
    assert completed.stdout == "True\n", completed.stderr


def test_main_can_be_pickled_by_name(write, epicycle):
    program = write(
        "program.py",
        """
        import pickle

        class Point:
            def __init__(self, x):
                self.x = x

        print(pickle.loads(pickle.dumps(Point(3))).x)
        """,
    )
    assert epicycle("run", program).stdout == "3\n"


def test_dedented_code(python, epicycle):
    code = "\n    import sys\n    print(len(sys.argv))\n"
    ours, theirs = epicycle("run", "-c", code), python("-c", code)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert (ours.returncode == 0) == (sys.version_info >= (3, 14))


@pytest.fixture
def entry_point(write) -> Path:
    """What an installer makes of the entry point, in a folder that also holds other commands."""
    write("bin/helper.py", "NAME = 'in the folder of commands'")
    return write("bin/epicycle", "import sys\nfrom epicycle.cli import main\nsys.exit(main())\n")


@pytest.mark.parametrize("target", [["app/program.py", "x"], ["app"], ["-m", "module"], ["-c", LOOK_AROUND]])
def test_installed_command_is_the_same(target, folder, entry_point, python):
    assert seen(python(entry_point, "run", *target, cwd=folder)) == seen(python(*target, cwd=folder))


def test_folder_of_the_command_is_not_searched(entry_point, write, python):
    program = write("app/program.py", "import helper")
    completed = python(entry_point, "run", program)
    assert completed.stderr == python(program).stderr
    assert "No module named 'helper'" in completed.stderr


def test_installed_command_dies_by_the_signal(entry_point, write, python):
    program = write("app/program.py", "raise KeyboardInterrupt")
    ours, theirs = python(entry_point, "run", program), python(program)
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr)
