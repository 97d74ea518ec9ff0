"""`agentmesh certs`: a CA of a mesh's own, and a certificate for each of its services."""

import datetime
import os
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # it takes a while to import
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as _Key

NAMES = ("auth", "registry", "runner", "payments", "ledger", "gateway", "edge")
"""What has a certificate: the services, and Envoy."""
_CA_DAYS = 3650


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("certs", short_help="Make the certificates of services on several machines.")(_certs)


def _certs(
    folder: Annotated[pathlib.Path, typer.Argument(help="Where to; made if missing.")],
    days: Annotated[int, typer.Option(help="How long the services' certificates hold.", min=1, max=_CA_DAYS)] = 365,
) -> None:
    """Make a CA, and with it a certificate and a key for each service, unless they are there.

    Take to each machine what its own services need: NAME.crt and NAME.key are for AGENTMESH_TLS_CERT and
    AGENTMESH_TLS_KEY of the service NAME, ca.crt for AGENTMESH_TLS_CA of all.  `ca.key` can make more: take it nowhere.
    To renew a certificate, remove it and say this again.
    """
    try:
        make(folder, days)
    except OSError as error:
        raise ValueError(f"{folder}: {error.strerror}: choose another folder") from None
    print(f"certificates of {', '.join(NAMES)} are in {folder}, signed by {folder / 'ca.crt'}")


def make(folder: pathlib.Path, days: float) -> None:
    """Make what is not in a folder yet; certificates of services hold for `days`.  Raises `OSError`, `ValueError`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / "ca.crt").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder, "ca", _certificate("agentmesh CA", key, None, key, _CA_DAYS), key)
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey) or ca_key.public_key() != ca.public_key():
        raise ValueError(f"{folder / 'ca.key'} is not the key of ca.crt: put the right one back, or remove both")
    for name in NAMES:
        if not (folder / f"{name}.crt").exists():
            key = ec.generate_private_key(ec.SECP256R1())
            _write(folder, name, _certificate(f"{name}.agentmesh", key, ca, ca_key, days), key)


def _certificate(
    name: str, key: "_Key", ca: "x509.Certificate | None", ca_key: "_Key", days: float
) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    building = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if ca is None else ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks of two machines differ a little
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=0 if ca is None else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(_usage(signs=ca is None), critical=True)
    )
    if ca is not None:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        building = building.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        building = building.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return building.sign(ca_key, hashes.SHA256())


def _usage(*, signs: bool) -> "x509.KeyUsage":
    from cryptography import x509

    off = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, decipher_only=False, **off)


def _write(folder: pathlib.Path, name: str, certificate: "x509.Certificate", key: "_Key") -> None:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.key"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    # Last: it is what says that both are there.
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
