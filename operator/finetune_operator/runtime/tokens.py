"""Verifies that a report of progress comes from the training pod that it speaks of.

Locally, by the keys with which the API server signs: a TokenReview for each post would cost it a
request every few seconds for each job.
"""

import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import jwt

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.errors import ApiError
from finetune_operator.domain import names
from finetune_operator.domain.manifests.train import TOKEN_AUDIENCE
from finetune_operator.domain.names import Role
from finetune_operator.runtime.controller import Key

KEYS_SECONDS = 3600.0
"""How long the signing keys are taken for current."""
NEW_KEYS_SECONDS = 30.0
"""Least time between two readings because of a token signed by a key that is not known."""
ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")


class TokenError(Exception):
    """The token does not prove what it has to; the message says what is missing."""


class TokenVerifier:
    """Keeps the cluster's issuer and signing keys.

    Args:
        now: the time in UTC of who issues the tokens, the API server.
        namespaces: whose jobs this operator takes care of; empty: all.
    """

    def __init__(
        self, client: Client, now: Callable[[], datetime], namespaces: Collection[str] = ()
    ) -> None:
        self._client = client
        self._now = now
        self._namespaces = namespaces
        self._issuer = ""
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = float("-inf")

    async def verify(self, token: str, key: Key, attempt: int) -> None:
        """Passes if the token is that of a pod of this attempt.

        Raises:
            TokenError: it is not, has expired, the job is another operator's, or the keys cannot be
                read at the moment.
        """
        if self._namespaces and key.namespace not in self._namespaces:
            # Another operator's job: here it could not even be read.
            raise TokenError(f"this operator takes care of no job of {key.namespace}")
        try:
            identity = jwt.get_unverified_header(token).get("kid")
            signing_key = await self._key(identity)
            claims: dict[str, Any] = jwt.decode(
                token,
                signing_key,
                algorithms=ALGORITHMS,
                audience=TOKEN_AUDIENCE,
                issuer=self._issuer,
                # By the clock of this machine, which may be wrong.
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise TokenError(f"the token is not valid: {error}") from error
        if claims["exp"] <= self._now().timestamp():
            raise TokenError("the token has expired")
        bound = claims.get("kubernetes.io") or {}
        pod = (bound.get("pod") or {}).get("name", "")
        prefix = f"{names.batch_job(key.name, Role.TRAIN, attempt)}-"
        if bound.get("namespace") != key.namespace or not pod.startswith(prefix):
            raise TokenError(f"the token is not of a pod of attempt {attempt} of {key}")

    async def _key(self, identity: str | None) -> jwt.PyJWK:
        age = time.monotonic() - self._read_at
        if age > KEYS_SECONDS or (identity not in self._keys and age > NEW_KEYS_SECONDS):
            try:
                await self._read_keys()
            except ApiError as error:
                raise TokenError(f"the signing keys cannot be read: {error}") from error
        if identity not in self._keys:
            raise TokenError("the token is signed by a key that is not this cluster's")
        return self._keys[identity]

    async def _read_keys(self) -> None:
        configuration = await self._client.get_path("/.well-known/openid-configuration")
        keys = jwt.PyJWKSet.from_dict(await self._client.get_path("/openid/v1/jwks"))
        self._issuer = configuration["issuer"]
        self._keys = {each.key_id: each for each in keys.keys}
        self._read_at = time.monotonic()
