"""A CA of a test's own, and certificates for names of this machine."""

import datetime
import ipaddress
import pathlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("localhost", "127.0.0.1")


class Authority:
    """Signs what it is told to."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of a test")])
        self.pem = folder / "test-ca.crt"
        made = self._building(self._name, self._key, 0, 1)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, names: Sequence[str] = NAMES, *, from_days: float = -1, to_days: float = 1
    ) -> tuple[pathlib.Path, pathlib.Path]:
        """Write NAME.crt and NAME.key, beside what is there first and then moved; return where they are."""
        key = ec.generate_private_key(ec.SECP256R1())
        building = self._building(x509.Name([]), key, from_days, to_days)
        if names:
            alternatives = x509.SubjectAlternativeName([_general(each) for each in names])
            building = building.add_extension(alternatives, critical=True)
        certificate = building.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._move(f"{name}.crt", certificate), self._move(f"{name}.key", private)

    def _move(self, name: str, data: bytes) -> pathlib.Path:
        draft, path = self._folder / f".{name}", self._folder / name
        draft.write_bytes(data)
        return draft.replace(path)

    def _building(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, from_days: float, to_days: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=from_days))
            .not_valid_after(now + datetime.timedelta(days=to_days))
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
