"""Certificates for the peers of a test, by OpenSSL's own command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, its key, and both in one file."""

    path: Path
    key: Path
    both: Path


def make(folder: Path, name: str, host: str = "IP:127.0.0.1") -> Certificate:
    """Make a certificate for `host` (`IP:...` or `DNS:...`), good for two days, as `name` in `folder`."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}-both.pem")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}", "-keyout", made.key, "-out", made.path,
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, check=True)
    made.both.write_bytes(made.path.read_bytes() + made.key.read_bytes())
    return made
