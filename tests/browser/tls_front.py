"""A TLS front for the site of a test: browsers send some things over HTTPS only, the Reporting API among them.

The key and its certificate are made for the occasion, and the browser is told the hash of this one key to trust: no
check of certificates is switched off for anybody else.
"""

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

CHUNK_BYTES = 65_536


@dataclass(slots=True)
class TlsFront:
    """Where the front listens, whose key it shows, and what each connection asked first."""

    url: str
    key_hash: str
    heads: list[bytes] = field(default_factory=list)

    def asked(self, line: bytes) -> list[bytes]:
        """The requests whose first line begins so, in lower case."""
        return [head.lower() for head in self.heads if head.startswith(line)]


@contextmanager
def tls_front(target: str, folder: Path) -> Iterator[TlsFront]:
    """Pass what arrives over TLS on to `target`, until the context ends."""
    certificate, key_hash = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    front = TlsFront(f"https://localhost:{listener.getsockname()[1]}", key_hash)
    address = (urlsplit(target).hostname or "", urlsplit(target).port or 0)

    async def serve() -> None:
        async def passed_on(browser: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            site, on = await asyncio.open_connection(*address)
            await asyncio.gather(_copy(browser, on, front.heads), _copy(site, back))

        server = await asyncio.start_server(passed_on, sock=listener, ssl=context)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    loop = asyncio.new_event_loop()
    serving = loop.create_task(serve())
    thread = threading.Thread(target=_run, args=(loop, serving), daemon=True)
    thread.start()
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop, serving: "asyncio.Task[None]") -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(serving)
    loop.run_until_complete(_end_connections())
    loop.close()


async def _end_connections() -> None:
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, heads: list[bytes] | None = None) -> None:
    """Everything from one side to the other, until either ends."""
    with suppress(OSError):  # the other side was faster
        while chunk := await source.read(CHUNK_BYTES):
            if heads is not None:
                heads.append(chunk)
            target.write(chunk)
            await target.drain()
    target.close()


def _certificate(folder: Path) -> tuple[Path, str]:
    """A file with a key and its certificate for this machine's name, and the hash by which a browser knows the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = timezone.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    unencrypted = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return file, base64.b64encode(hashlib.sha256(public).digest()).decode()
