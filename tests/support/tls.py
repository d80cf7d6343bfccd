"""A certificate authority of one's own, and certificates for a server and its clients."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A private authority; its certificate is `certificate`.

    Args:
        folder: where its files are kept; private keys have no password.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "authority.pem"
        self._key = folder / "authority.key"
        new = ["req", "-x509", "-days", "2", "-subj", "/CN=Private authority of the tests"]
        constraints = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        self._openssl(*new, *_new_key(self._key), *constraints, "-out", self.certificate)

    def issue(
        self,
        name: str,
        *,
        days: int = 2,
        names: str = "IP:127.0.0.1,DNS:localhost",
    ) -> tuple[Path, Path]:
        """Make a certificate for a server, also good for a client.

        Args:
            name: what its files and its subject are called.
            days: for how many days it is valid; -1 for one that has expired.
            names: the host names and addresses that it is for, as OpenSSL writes them.

        Returns:
            The paths of the certificate and of its private key, both PEM.
        """
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={names}\n"
            "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n"
        )
        self._openssl("req", "-subj", f"/CN={name}", *_new_key(key), "-out", request)
        sign: list[str | Path] = [
            "x509",
            "-req",
            "-days",
            str(days),
            "-CA",
            self.certificate,
            "-CAkey",
            self._key,
        ]
        self._openssl(*sign, "-in", request, "-extfile", extensions, "-out", certificate)
        return certificate, key

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self._folder)


def _new_key(path: Path) -> list[str | Path]:
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return [*kind, "-keyout", path]
