"""Which cluster and namespace are chosen, from kubeconfigs as people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_operator.cluster.kubeconfig import NoClusterError, choose, context_names


def write(folder: Path, server: str = "https://one.example.com:6443/") -> str:
    """A kubeconfig of two contexts, of which the first is the current one."""
    path = folder / "config"
    clusters = [
        {"name": "one", "cluster": {"server": server}},
        {"name": "two", "cluster": {"server": "https://two.example.com:6443/"}},
    ]
    contexts = [
        {"name": "one", "context": {"cluster": "one", "user": "ada", "namespace": "research"}},
        {"name": "two", "context": {"cluster": "two", "user": "ada"}},
    ]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "contexts": contexts,
        "users": [{"name": "ada", "user": {"token": "of-ada"}}],
        "current-context": "one",
    }
    path.write_text(json.dumps(config))
    return str(path)


def test_the_current_context_and_its_namespace(tmp_path: Path) -> None:
    chosen = choose(write(tmp_path), None)
    assert (chosen.connection.url, chosen.namespace) == ("https://one.example.com:6443", "research")
    assert chosen.connection.authorization() == "Bearer of-ada"


def test_another_context_without_a_namespace(tmp_path: Path) -> None:
    chosen = choose(write(tmp_path), "two")
    assert (chosen.connection.url, chosen.namespace) == ("https://two.example.com:6443", "default")


def test_contexts_to_choose_from(tmp_path: Path) -> None:
    assert context_names(write(tmp_path)) == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No configuration found"),
        ("a: [", "while parsing"),
        ("{}", "current-context"),
        ("", "Invalid kube-config"),
    ],
)
def test_no_cluster(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NoClusterError, match=said):
        choose(str(path), None)


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match="three"):
        choose(write(tmp_path), "three")
