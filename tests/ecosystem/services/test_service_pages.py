"""The Python blocks of the pages on services, which `make docs` only compiles: here the services are there."""

import importlib.util
import pathlib
import re
import sys

import pytest
from programs import Program, assert_epicycle

PAGES = pathlib.Path(__file__).parents[3] / "docs" / "how-to"
SERVICES = {
    "redis.md": "redis",
    "mysql.md": "mysql",
    "postgresql.md": "postgres",
    "rabbitmq.md": "rabbitmq",
    "nats.md": "nats",
    "mqtt.md": "mqtt",
}
IMPORTED = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
BLOCK = re.compile(r"^```python no-run\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", SERVICES)
def test_what_a_page_shows_runs(page, request, tmp_path):
    service = request.getfixturevalue(SERVICES[page])
    if service.host != "127.0.0.1":
        pytest.skip("the pages name the services on loopback")
    blocks = BLOCK.findall((PAGES / page).read_text(encoding="utf-8"))
    assert blocks
    for package in IMPORTED.findall("\n".join(blocks)):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed: pip install -r requirements/ecosystem.txt")
    for block in blocks:
        file = tmp_path / "block.py"
        file.write_text(block, encoding="utf-8")
        with Program([sys.executable, file]) as program:
            assert program.finish() == 0, program.report()
        assert_epicycle(program.output)
