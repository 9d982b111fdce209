# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lab/certificates.py DIR NAME...: the certificates that the lab's carriers show over TLS, and the CA that signs them.

DIR/ca.pem, ca.key      the lab's own CA
DIR/NAME.pem, NAME.key  a pair each, in PEM, for TLS servers and clients:

    good      for the names and addresses given
    expired   the same, ended yesterday
    wrong     valid, for other.example
    stranger  for the names given, signed by a CA that nobody knows
    domain    for the first name alone, the domain
    parent    for the domain above it alone: acme.example, where that is sip.acme.example
    hosts     for the others alone, the hosts to which DNS leads
    wildcard  for every host beside the first: *.acme.example, where that is sip.acme.example
    above     for a wildcard one label shorter: *.example

Prints what it made. Nothing is made while all are there, `good` is for these very names, signed by this
CA and valid for another week. The CA stays as long as it will outlive them: who trusts it goes on to.
"""

from __future__ import annotations

import argparse
import fcntl
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PAIRS = ("stranger", "expired", "wrong", "domain", "parent", "hosts", "wildcard", "above", "good")  # good comes last: it tells whether all were made
DAY = timedelta(days=1)
LIFE, LIFE_OF_CA, LEFT = 365 * DAY, 3650 * DAY, 7 * DAY


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def alternative(name: str) -> x509.GeneralName:
    """A subjectAltName: an address where it is one, else a DNS name."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """A CA: its certificate and key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate, self.key = certificate, key

    @classmethod
    def new(cls, name: str) -> Authority:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        draft = draft_of(subject(name), key, now - DAY, now + LIFE_OF_CA).issuer_name(subject(name))
        draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        draft = draft.add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        return cls(draft.sign(key, hashes.SHA256()), key)

    def pair(self, names: Sequence[str], ends: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        draft = draft_of(subject(names[0]), key, ends - LIFE - DAY, ends).issuer_name(self.certificate.subject)
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        # OpenSSL 3 and Python's VERIFY_X509_STRICT ask for all of these (RFC 5280 section 4.2.1)
        draft = draft.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        draft = draft.add_extension(key_usage(digital_signature=True), critical=True)
        draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        draft = draft.add_extension(x509.SubjectAlternativeName([alternative(name) for name in names]), critical=False)
        return draft.sign(self.key, hashes.SHA256()), key


def draft_of(name: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime) -> x509.CertificateBuilder:
    """What every certificate has; the issuer is still missing."""
    draft = x509.CertificateBuilder(subject_name=name, public_key=key.public_key(), serial_number=x509.random_serial_number())
    draft = draft.not_valid_before(begins).not_valid_after(ends)
    return draft.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def key_usage(**used: bool) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    return x509.KeyUsage(**{**dict.fromkeys((*every, "encipher_only", "decipher_only"), False), **used})


def write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    files = {".pem": (0o644, certificate.public_bytes(serialization.Encoding.PEM)), ".key": (0o600, secret)}
    for end in files:  # first of all, so that a run that is cut short leaves no certificate with another's key
        (folder / f"{name}{end}").unlink(missing_ok=True)
    for end, (mode, data) in files.items():
        path = folder / f"{name}{end}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(data)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def known(folder: Path) -> Authority | None:
    """The CA that is there, if it outlives what it would sign now."""
    try:
        certificate = read(folder / "ca.pem")
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    usable = certificate.public_key() == key.public_key() and certificate.not_valid_after_utc > datetime.now(UTC) + LIFE
    return Authority(certificate, key) if usable else None


def fits(folder: Path, authority: Authority, names: Sequence[str]) -> bool:
    """Whether nothing needs to be made."""
    if not all((folder / f"{name}{end}").exists() for name in PAIRS for end in (".pem", ".key")):
        return False
    try:
        good = read(folder / "good.pem")
        good.verify_directly_issued_by(authority.certificate)
    except (ValueError, InvalidSignature):
        return False
    has = good.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(has) == {alternative(name) for name in names} and good.not_valid_after_utc > datetime.now(UTC) + LEFT


def make(folder: Path, names: Sequence[str]) -> list[str]:
    """Make what is missing in the folder; the names of what was made."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:  # labs of one checkout may be brought up at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        made, authority = [], known(folder)
        if authority is None:
            authority = Authority.new("siptrunk lab CA")
            write(folder, "ca", authority.certificate, authority.key)
            made.append("ca")
        if not fits(folder, authority, names):
            now = datetime.now(UTC)
            pairs = {
                "stranger": Authority.new("a CA that nobody knows").pair(names, now + LIFE),
                "expired": authority.pair(names, now - DAY),
                "wrong": authority.pair(["other.example"], now + LIFE),
                "domain": authority.pair(names[:1], now + LIFE),
                "parent": authority.pair([names[0].partition(".")[2]], now + LIFE),
                "hosts": authority.pair(names[1:] or names, now + LIFE),
                "wildcard": authority.pair([f"*.{names[0].partition('.')[2]}"], now + LIFE),
                "above": authority.pair([f"*.{names[0].split('.', 2)[-1]}"], now + LIFE),
                "good": authority.pair(names, now + LIFE),
            }
            for name in PAIRS:
                write(folder, name, *pairs[name])
                made.append(name)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("names", metavar="NAME", nargs="+", help="DNS name or address")
    options = parser.parse_args()
    for name in make(options.folder, options.names):
        print(f"made {name}")


if __name__ == "__main__":
    main()
