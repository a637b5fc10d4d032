"""Where the API server keeps an object, and how a request says which ones it means."""

from urllib.parse import quote

from finetune_operator.domain.kinds import Kind


def path_of(kind: Kind, namespace: str | None, name: str = "", subresource: str = "") -> str:
    """The URL path of an object, or of a collection when no name is given."""
    parts = ["apis" if kind.group else "api", kind.api_version]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace)]
    parts += [kind.plural, *(quote(part) for part in (name, subresource) if part)]
    return "/" + "/".join(parts)


def selectors(labels: str, fields: str) -> dict[str, str]:
    """Both as parts of a query; the empty one is left out."""
    query = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in query.items() if value}
