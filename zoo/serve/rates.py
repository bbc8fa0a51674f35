"""Requests per second of each client, by token buckets (https://en.wikipedia.org/wiki/Token_bucket)."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

from zoo.serve.refusal import Refusal

CLIENTS = 10_000  # remembered at most; the one that has not asked for longest is forgotten first
NETWORK = 64  # bits: whoever has an IPv6 address has all of its /64


def client_of(address: str | None) -> str:
    """The client behind an address: itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> (128 - NETWORK) << (128 - NETWORK), NETWORK)))


class Rates:
    """Limits the requests of each client.

    Args:
        rate: requests per second, in the long run; as many, and at least one, may come at once.
        clock: seconds, which never go back.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate, self._most, self._clock = rate, max(1.0, rate), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def take(self, client: str) -> None:
        """Count a request.

        Raises:
            Refusal: the client has sent too many.
        """
        now = self._clock()
        tokens, counted = self._buckets.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - counted) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "rate",
                "This client sends too many requests.",
                f"The limit is {self._rate:g} per second.",
                "Send several images in a request, or wait as long as Retry-After says.",
                (1 - tokens) / self._rate,
            )
