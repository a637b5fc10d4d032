"""The router before another server; here that is this project's own, which speaks the same API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.trainer.serving.server import Running, config, run

ASKED: dict[str, Any] = {"prompt": "Once", "temperature": 0, "max_tokens": 20}


@pytest.fixture(scope="module")
def engine(base: Path, adapters: list[Path]) -> Iterator[Running]:
    """In the place of vLLM: knows the base and the adapters, and no traffic."""
    revisions = [{"name": f"support-000{n}", "path": adapters[n - 1]} for n in (1, 2)]
    with run(config(base, revisions=revisions).model_copy(update={"name": "engine"})) as running:
        yield running


def settings(base: Path, url: str) -> Any:
    return config(
        base,
        revisions=[
            {"name": "support-0001", "path": "/adapters/support-0001"},
            {"name": "support-0002", "path": "/adapters/support-0002"},
            {"name": "support-0003", "path": None},
        ],
        traffic=[{"revision": "support-0002", "percent": 100}],
        upstream=url,
    )


@pytest.fixture(scope="module")
def router(base: Path, engine: Running) -> Iterator[Running]:
    with run(settings(base, engine.url)) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "answering"),
    [
        ("support", "support-0002"),
        ("support-0001", "support-0001"),
        ("base", "base"),
        ("support-0003", "base"),
    ],
)
def test_requests_reach_the_right_model(
    router: Running, engine: Running, asked: str, answering: str
) -> None:
    answer = router.client.completions.create(**ASKED, model=asked)
    right = engine.client.completions.create(**ASKED, model=answering)
    assert answer.choices[0].text == right.choices[0].text
    assert answer.model == answering


def test_streams_pass(router: Running, engine: Running) -> None:
    def pieces(running: Running, model: str) -> list[str]:
        stream = running.client.completions.create(**ASKED, model=model, stream=True)
        return [piece.choices[0].text for piece in stream]

    assert pieces(router, "support") == pieces(engine, "support-0002")


def test_models_are_the_workspaces(router: Running) -> None:
    names = ["support", "support-0001", "support-0002", "support-0003", "base"]
    assert [model.id for model in router.client.models.list()] == names


def test_refusals_pass(router: Running) -> None:
    with pytest.raises(openai.BadRequestError, match="n is not supported"):
        router.client.completions.create(**ASKED, model="support", n=2)
    with pytest.raises(openai.NotFoundError, match="`other` does not exist"):
        router.client.completions.create(**ASKED, model="other")


def test_a_client_that_leaves_stops_the_engine(router: Running, engine: Running) -> None:
    with router.client.completions.create(
        model="base", prompt="Once", max_tokens=16000, temperature=0, stream=True
    ) as stream:
        next(iter(stream))
    # Answered at all only when the long answer before it has been given up.
    engine.client.completions.create(**ASKED, model="base", timeout=30)


def test_an_engine_that_is_gone(base: Path) -> None:
    with run(config(base)) as engine:
        alone = config(base, upstream=engine.url)
        with run(alone) as router:
            assert httpx2.get(f"{router.url}/readyz").status_code == 200
            gone = engine.url
    with run(config(base, upstream=gone), ready=False) as router:
        assert httpx2.get(f"{router.url}/healthz").status_code == 200
        assert httpx2.get(f"{router.url}/readyz").status_code == 503
