"""Certificates made for one run of the tests with the `openssl` command, and contexts that use them."""

import pathlib
import shutil
import ssl
import subprocess

OPENSSL = shutil.which("openssl")


class Authority:
    """A certificate authority in a folder of its own, and what it has signed."""

    def __init__(self, folder: pathlib.Path, name: str):
        self.folder = folder
        self.name = name
        folder.mkdir()
        self.certificate = folder / "authority.pem"
        self._key = folder / "authority.key"
        openssl(
            *("req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, subject: str, *names: str) -> "Signed":
        """A key and a certificate for `subject`, valid for the host names."""
        key, request, certificate, extensions = (
            self.folder / f"{subject}.{suffix}" for suffix in ("key", "csr", "pem", "ext")
        )
        openssl(
            *("req", "-new", "-nodes", "-subj", f"/CN={subject}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", key, "-out", request),
        )
        wanted = ",".join(f"DNS:{name}" for name in names or (subject,))
        extensions.write_text(f"subjectAltName={wanted}\n")
        openssl(
            *("x509", "-req", "-days", "2", "-in", request, "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-out", certificate),
        )
        return Signed(certificate, key)

    def client_context(self) -> ssl.SSLContext:
        """A client that trusts this authority."""
        return ssl.create_default_context(cafile=self.certificate)


class Signed:
    """A certificate and its key."""

    def __init__(self, certificate: pathlib.Path, key: pathlib.Path):
        self.certificate = certificate
        self.key = key

    def load_into(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.load_cert_chain(self.certificate, self.key)
        return context

    def server_context(self) -> ssl.SSLContext:
        """A server that shows this certificate."""
        return self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def openssl(*arguments: object) -> None:
    subprocess.run([OPENSSL, *map(str, arguments)], check=True, capture_output=True, timeout=30)
