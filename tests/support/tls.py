"""Create a private certificate authority, and certificates for a server and its clients."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A private certificate authority. `certificate` is the path of its certificate.

    Args:
        folder: the folder for its files. Private keys have no password.
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
        """Issue a certificate that is valid for servers and clients.

        Args:
            name: the name of its files and of its subject.
            days: how many days it is valid; -1 for an expired certificate.
            names: its host names and addresses, in OpenSSL's ``subjectAltName`` syntax.

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
