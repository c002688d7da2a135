"""Certificates for the scripts over TLS: made once, by the same hand as those of tests/tls."""

import pytest

from tls.certificates import OPENSSL, Authority


@pytest.fixture(scope="session")
def tls_contexts(tmp_path_factory):
    """What a server on localhost shows, and what a client of it trusts."""
    if OPENSSL is None:
        pytest.skip("the openssl command makes the certificates, and is not there")
    authority = Authority(tmp_path_factory.mktemp("differential") / "authority", "Test authority")
    return authority.sign("localhost").server_context(), authority.client_context()
