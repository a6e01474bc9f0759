"""How often a client may ask: a bucket of tokens for each, in memory."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from crosshash.serve.errors import Refused

CLIENTS = 10_000  # that are remembered; the one that asked longest ago is forgotten first


class Rates:
    """Refuses a client that asks more than ``burst`` times at once, or ``rate`` times a second.

    Args:
        rate: Tokens per second; 0: nobody is refused.
        burst: Tokens of a bucket that is full.
        clock: Seconds.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Take a token of a client's bucket; 429 where there is none."""
        if not self.rate:
            return
        client, now = network_of(address), self._clock()
        tokens, then = self._buckets.pop(client, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - then) * self.rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = math.ceil((1 - tokens) / self.rate)
            raise Refused(
                429,
                f"at most {self.rate:g} requests a second are answered, and {self.burst} at once; "
                f"ask again in {wait} s",
                Retry_After=str(wait),
            )


def network_of(address: str) -> str:
    """An address; of IPv6 the network of 64 bits, of which a client has all addresses."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((int(known) >> 64 << 64, 64)))
