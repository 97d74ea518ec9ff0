"""What is wrong with a certificate that the front door is to show, before anybody is let down by it."""

import dataclasses
import datetime
import os
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes a while to import
    from cryptography import x509


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A certificate that can be shown."""

    cert: pathlib.Path
    """Absolute, as is the key's."""
    key: pathlib.Path
    name: str
    """One of those in it, by which it can be asked for."""
    expires_at: datetime.datetime


def checked(cert: pathlib.Path | None, key: pathlib.Path | None) -> Shown:
    """Return what a pair of PEM files says.  Raises `ValueError`, naming the file and what to do."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    if cert is None or key is None:
        raise ValueError("--tls-cert and --tls-key belong together: name both files")
    # Not `resolve`: what is renewed may be a link to another file then.
    cert, key = (pathlib.Path(os.path.abspath(path)) for path in (cert, key))
    data = _read(cert, "--tls-cert")
    try:
        chain = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ValueError(f"--tls-cert {cert}: no certificate in PEM ({_short(error)}): name the full chain") from None
    data = _read(key, "--tls-key")
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise ValueError(f"--tls-key {key}: it has a password: write it without one, mode 0600") from None
    except ValueError as error:
        raise ValueError(f"--tls-key {key}: no key in PEM ({_short(error)}): name the certificate's key") from None
    first = chain[0]
    if private.public_key() != first.public_key():
        remedy = "name the key it was made for, and put the server's own certificate first in its file"
        raise ValueError(f"--tls-key {key} is not the key of --tls-cert {cert}: {remedy}")
    now = datetime.datetime.now(datetime.UTC)
    if first.not_valid_after_utc <= now:
        raise ValueError(
            f"--tls-cert {cert}: it has expired on {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: renew it"
        )
    if first.not_valid_before_utc > now:
        raise ValueError(
            f"--tls-cert {cert}: it holds from {first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only: look at this"
            " machine's clock, or wait"
        )
    return Shown(cert, key, _name(first, cert), first.not_valid_after_utc)


def _read(path: pathlib.Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {path}: {error.strerror}: name a file that this user can read") from None


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(".")[0][:80]


def _name(certificate: "x509.Certificate", path: pathlib.Path) -> str:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        found = []
    if not found:
        raise ValueError(
            f"--tls-cert {path}: it has no names (subjectAltName), so no client takes it: have it made anew"
        )
    return found[0].replace("*", "mesh", 1)
