"""IP addresses and networks by their text, each read once: a call names the same few again and again."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

KEPT: Final = 1024
"""How many are remembered; peers may name any number."""

ip_address: Final = lru_cache(KEPT)(ipaddress.ip_address)
ip_network: Final = lru_cache(KEPT)(ipaddress.ip_network)
