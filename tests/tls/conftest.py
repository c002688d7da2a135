"""Certificates for the tests of TLS."""

import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from certificates import OPENSSL, Authority


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """Two authorities, and what the first has signed."""
    if OPENSSL is None:
        pytest.skip("the openssl command makes the certificates, and is not there")
    folder = tmp_path_factory.mktemp("pki")
    authority = Authority(folder / "trusted", "Test authority")
    return types.SimpleNamespace(
        authority=authority,
        stranger=Authority(folder / "stranger", "Another authority"),
        server=authority.sign("localhost"),
        other=authority.sign("other.example"),
        user=authority.sign("user"),
    )


@pytest.fixture
def server_context(pki):
    """What a server shows to clients that look for localhost."""
    return pki.server.server_context()


@pytest.fixture
def client_context(pki):
    """What trusts that server."""
    return pki.authority.client_context()
