"""Amounts as Kubernetes writes them."""

from decimal import Decimal

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "m": 1e-3}


def quantity_bytes(quantity: str) -> int:
    """Of an amount of memory as Kubernetes writes it: 16Gi, 500M, 1e9."""
    for suffix, factor in (_UNITS | _DECIMAL).items():
        if quantity.endswith(suffix):
            return int(float(quantity.removesuffix(suffix)) * factor)
    return int(float(quantity))


def quantity_number(quantity: str) -> Decimal:
    """Of an amount of CPUs as Kubernetes writes it: 4, 500m, 1.5."""
    if quantity.endswith("m"):
        return Decimal(quantity.removesuffix("m")) / 1000
    return Decimal(quantity)
