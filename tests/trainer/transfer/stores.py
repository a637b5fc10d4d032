"""S3 and Azure Storage on the loopback interface, with who gives tokens for them, speaking what
their documentation says: AssumeRoleWithWebIdentity and ListObjectsV2; the client credentials grant
with a federated assertion and List Blobs; GET with Range and If-Match.

The clients are the vendors' own.
"""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

REGION, ROLE, BUCKET = "eu-west-1", "arn:aws:iam::123456789012:role/training-data", "data"
ACCOUNT, CONTAINER = "trainingdata", "data"
CLIENT_ID = "11111111-1111-1111-1111-111111111111"
TENANT_ID = "22222222-2222-2222-2222-222222222222"

STS = f"sts.{REGION}.amazonaws.com"
S3 = f"{BUCKET}.s3.{REGION}.amazonaws.com"
S3_ANYWHERE = f"{BUCKET}.s3.amazonaws.com"
ENTRA = "login.microsoftonline.com"
BLOB = f"{ACCOUNT}.blob.core.windows.net"
HOSTS = (STS, S3, S3_ANYWHERE, ENTRA, BLOB)

POD_TOKEN = "a token of the pod's ServiceAccount"
SESSION, ACCESS = "session-of-the-role", "access-of-the-identity"
PAGE = 2
"""Objects in an answer; a listing has several."""


@dataclass
class Cloud:
    """What is stored and what has happened."""

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    """By key, of the one bucket and of the one container."""
    public: bool = False
    trusted: bool = True
    """Whether role and identity trust the pod's ServiceAccount."""
    allowed: bool = True
    """Whether role and identity may read."""
    breaks: int = 0
    """So many of the next answers with content end in the middle."""
    ends_at: int | None = None
    """No answer tells what an object holds from there on; it breaks off."""
    changes: bool = False
    """Each object is another one by the time it is read."""
    requests: list[str] = field(default_factory=list)
    """Host, method and path of each."""
    ranges: list[str] = field(default_factory=list)


@contextmanager
def run(certificate: Path) -> Iterator[Cloud]:
    cloud = Cloud()

    class Handler(_Handler):
        content = cloud

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cloud.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324


class _Handler(BaseHTTPRequestHandler):
    content: Cloud
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(body).items()}
        self._noted()
        (self._assume_role if self._host() == STS else self._token)(given)

    def do_GET(self) -> None:
        self._noted()
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if not self._known():
            self._refuse(403, "AccessDenied" if self._of_aws() else "AuthorizationFailure")
        elif "list-type" in query or query.get("comp") == "list":
            self._list(query)
        else:
            path = unquote(url.path).lstrip("/")
            self._object(path if self._of_aws() else path.removeprefix(f"{CONTAINER}/"))

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _host(self) -> str:
        return str(self.headers["Host"]).partition(":")[0]

    def _of_aws(self) -> bool:
        return self._host().endswith(".amazonaws.com")

    def _noted(self) -> None:
        self.content.requests.append(f"{self._host()} {self.command} {urlsplit(self.path).path}")

    def _assume_role(self, given: dict[str, str]) -> None:
        expected = ("AssumeRoleWithWebIdentity", ROLE, POD_TOKEN)
        found = tuple(given.get(each) for each in ("Action", "RoleArn", "WebIdentityToken"))
        if found != expected or not self.content.trusted:
            text = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            error = f"<Error><Code>AccessDenied</Code><Message>{text}</Message></Error>"
            self._send(403, f"<ErrorResponse>{error}</ErrorResponse>".encode(), kind="text/xml")
            return
        keys = {
            "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": "secret",
            "SessionToken": SESSION,
            "Expiration": "2099-01-01T00:00:00Z",
        }
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
        answer = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleWithWebIdentityResult><Credentials>{inner}</Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
        self._send(200, answer.encode(), kind="text/xml")

    def _token(self, given: dict[str, str]) -> None:
        expected = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "scope": "https://storage.azure.com/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": POD_TOKEN,
        }
        if not self.content.trusted or not expected.items() <= given.items():
            text = "AADSTS700213: No matching federated identity record found"
            error = {"error": "invalid_client", "error_description": text}
            self._send(401, json.dumps(error).encode())
            return
        token = {"token_type": "Bearer", "expires_in": 3600, "access_token": ACCESS}
        self._send(200, json.dumps(token).encode())

    def _known(self) -> bool:
        if self.content.public:
            return "Authorization" not in self.headers
        sent = str(self.headers["Authorization"])
        if not self.content.allowed:
            return False
        if not self._of_aws():
            return sent == f"Bearer {ACCESS}"
        signed = f"/{REGION}/s3/aws4_request" in sent and "Credential=ASIAEXAMPLE/" in sent
        return signed and self.headers["X-Amz-Security-Token"] == SESSION

    def _list(self, query: dict[str, str]) -> None:
        keys = sorted(
            key for key in self.content.objects if key.startswith(query.get("prefix", ""))
        )
        start = int(query.get("continuation-token") or query.get("marker") or 0)
        shown, after = keys[start : start + PAGE], start + PAGE
        more = str(after) if after < len(keys) else ""
        listed = self._of_s3(shown, more) if self._of_aws() else self._of_azure(shown, more)
        self._send(200, listed.encode(), kind="application/xml")

    def _of_s3(self, keys: list[str], more: str) -> str:
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><ETag>{escape(etag(self.content.objects[key]))}"
            f"</ETag><Size>{len(self.content.objects[key])}</Size></Contents>"
            for key in keys
        )
        following = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{following}"
            f"<EncodingType>url</EncodingType>{contents}</ListBucketResult>"
        )

    def _of_azure(self, keys: list[str], more: str) -> str:
        blobs = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties>"
            f"<Etag>{etag(self.content.objects[key])}</Etag>"
            f"<Content-Length>{len(self.content.objects[key])}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for key in keys
        )
        return (
            '<?xml version="1.0" encoding="utf-8"?>'
            f'<EnumerationResults ServiceEndpoint="https://{BLOB}/" ContainerName="{CONTAINER}">'
            f"<Blobs>{blobs}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
        )

    def _object(self, key: str) -> None:
        if self.content.changes:
            self.content.objects[key] += b"\n"
        content = self.content.objects.get(key)
        if content is None:
            self._refuse(404, "NoSuchKey" if self._of_aws() else "BlobNotFound")
            return
        if self.headers["If-Match"] != etag(content):
            self._refuse(412, "PreconditionFailed" if self._of_aws() else "ConditionNotMet")
            return
        wanted = str(self.headers["Range"] or self.headers["x-ms-range"])
        self.content.ranges.append(f"{key} {wanted}")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = min(int(last or len(content)), len(content) - 1)
        part = content[int(first) : end + 1]
        headers = {
            "ETag": etag(content),
            "Content-Range": f"bytes {first}-{end}/{len(content)}",
            "Accept-Ranges": "bytes",
            "Last-Modified": "Fri, 27 Nov 2026 10:00:00 GMT",
            "x-ms-blob-type": "BlockBlob",
        }
        whole = len(part)
        if self.content.breaks:
            self.content.breaks -= 1
            part = part[: whole // 2]
        if self.content.ends_at is not None:
            part = part[: max(0, self.content.ends_at - int(first))]
        self._send(206, part, headers, kind="application/octet-stream", said=whole)

    def _refuse(self, status: int, code: str) -> None:
        error = f"<Error><Code>{code}</Code><Message>refused</Message></Error>"
        self._send(status, error.encode(), {"x-ms-error-code": code}, kind="application/xml")

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        kind: str = "application/json",
        said: int | None = None,
    ) -> None:
        """
        Args:
            said: how much would come; where it does not, the connection ends.
        """
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if said is None else said))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = said is not None and len(content) < said
