"""A company's network on the loopback interface: an authority of its own, and a proxy that alone
knows where names lead."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SILENCE_SECONDS = 20.0
"""After which a tunnel is given up."""


class Authority:
    """Signs certificates that nobody else trusts."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        built = _builder(self._name, self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        folder.mkdir(parents=True)
        self.certificate = folder / "ca.crt"
        self.certificate.write_bytes(
            built.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )

    def certificate_of(self, *hosts: str) -> Path:
        """A file with certificate and key of a server of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        known_as = [
            x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            for host in hosts
        ]
        built = _builder(_named(hosts[0]), self._name, key.public_key()).add_extension(
            x509.SubjectAlternativeName(known_as), critical=False
        )
        path = self._folder / f"{hosts[0]}.pem"
        path.write_bytes(
            built.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


@dataclass
class Proxy:
    """Tunnels to the names that it knows, which nobody else can resolve."""

    url: str = ""
    places: dict[str, int] = field(default_factory=dict)
    """Port on the loopback interface, by `host:port` as it is asked for."""
    asked: list[str] = field(default_factory=list)
    """Every `host:port` that was asked for."""


@contextmanager
def proxy(address: str = "127.0.0.1") -> Iterator[Proxy]:
    """A proxy that tunnels (CONNECT), until the block ends.

    Args:
        address: on which it listens.
    """
    made = Proxy()

    class Handler(_Handler):
        proxy = made

    server = ThreadingHTTPServer((address, 0), Handler)
    made.url = f"http://{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def do_CONNECT(self) -> None:
        self.proxy.asked.append(self.path)
        port = self.proxy.places.get(self.path)
        if port is None:
            self.send_error(502, "unknown host")
            return
        with socket.create_connection(("127.0.0.1", port)) as beyond:
            self.send_response(200)
            self.end_headers()
            _tunnel(self.connection, beyond)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def _tunnel(here: socket.socket, beyond: socket.socket) -> None:
    """Until either side ends."""
    other = {here: beyond, beyond: here}
    while True:
        ready, _, _ = select.select(list(other), [], [], SILENCE_SECONDS)
        for each in ready:
            content = each.recv(65536)
            if not content:
                return
            other[each].sendall(content)
        if not ready:
            return
