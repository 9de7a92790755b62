"""A certificate for 127.0.0.1 and the authority that signed it, made by the openssl command."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificates:
    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """New ones, valid for a day; without openssl the test is skipped, but fails in CI."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail("there is no openssl on PATH")
        pytest.skip("there is no openssl on PATH")
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    authority_key = folder / "ca.key"
    new_key = ("-newkey", "rsa:2048", "-nodes")
    _openssl(
        *("req", "-x509", *new_key, "-days", "1", "-subj", "/CN=test authority"),
        *("-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", authority_key, "-out", files.authority),
    )
    request = folder / "server.csr"
    _openssl("req", *new_key, "-subj", "/CN=localhost", "-keyout", files.key, "-out", request)
    _openssl(
        *("x509", "-req", "-days", "1", "-in", request, "-extfile", folder / "names"),
        *("-CA", files.authority, "-CAkey", authority_key, "-CAcreateserial"),
        *("-out", files.certificate),
    )
    return files


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
