"""A token is believed by the cluster's keys and by the cluster's clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finetune_operator.cluster.client import Client
from finetune_operator.domain.manifests.train import TOKEN_AUDIENCE
from finetune_operator.runtime.controller import Key
from finetune_operator.runtime.tokens import TokenError, TokenVerifier

NOW = datetime.now(UTC) - timedelta(hours=1)
"""The cluster's time: the clock of this machine is an hour ahead of it."""
ISSUER = "https://kubernetes.default.svc"
KEY = ec.generate_private_key(ec.SECP256R1())


class Keys:
    """What the API server answers about its signing keys."""

    async def get_path(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": ISSUER}
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
        return {"keys": [{**public, "kid": "1", "alg": "ES256", "use": "sig"}]}


def token(issued: datetime, *, pod: str = "chat-train-2-0-abcde") -> str:
    claims = {
        "iss": ISSUER,
        "aud": [TOKEN_AUDIENCE],
        "iat": issued,
        "nbf": issued,
        "exp": issued + timedelta(minutes=10),
        "kubernetes.io": {"namespace": "team", "pod": {"name": pod}},
    }
    return jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": "1"})


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=2)])
async def test_whatever_the_clock_of_this_machine_shows(ahead: timedelta) -> None:
    """An hour behind the cluster, the machine would find a token not valid yet."""
    verifier = TokenVerifier(cast(Client, Keys()), lambda: NOW + ahead)
    await verifier.verify(token(NOW + ahead), Key("team", "chat"), 2)


async def test_what_has_expired_by_the_clusters_clock_is_refused() -> None:
    verifier = TokenVerifier(cast(Client, Keys()), lambda: NOW)
    with pytest.raises(TokenError, match="expired"):
        await verifier.verify(token(NOW - timedelta(minutes=10)), Key("team", "chat"), 2)


async def test_a_token_speaks_for_its_own_pod_alone() -> None:
    verifier = TokenVerifier(cast(Client, Keys()), lambda: NOW)
    for key, attempt in ((Key("team", "chat"), 1), (Key("other", "chat"), 2)):
        with pytest.raises(TokenError, match="not of a pod"):
            await verifier.verify(token(NOW), key, attempt)
