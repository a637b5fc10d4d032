"""docs/scale.md from the figures. Pure."""

from bench.operator.table import Report, tables

_INTRODUCTION = """\
<!-- Written by `make bench-operator` from data/operator.json: do not edit. -->

# How many jobs, and how fast

The operator as a process beside an API server and etcd, and nothing else on the machine: what is
measured is the operator, and what it asks of the API server. **Bold**: a bound is missed.

```console
$ make bench-operator BENCH_ARGUMENTS="--json docs/data/operator.json --page docs/scale.md"
```

The *bare client* makes the same jobs and sends, for each, the very requests that the API server has
recorded of the operator, status patches included, and decides nothing. The peers' figures were
measured on a machine of this kind with what they need beside them. Jobs that report post every 5 s,
each with its own pod's token; their first Jobs and pods are played.
"""


def page(report: Report) -> str:
    """The whole page."""
    versions = report["versions"]
    return "\n".join(
        [
            _INTRODUCTION,
            *tables(report),
            "",
            f"{versions['processor']}, {versions['cores']} cores; Kubernetes"
            f" {versions['kubernetes']}, Python {versions['python']}; commit {versions['commit']}.",
            "",
        ]
    )
