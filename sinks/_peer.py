"""Which addresses no request may go to: those behind which a cloud hands out credentials.

Who can set the address of a sink, or answer for its name, could otherwise let us send to the
metadata service of the machine we run on, and read in an error what it answers (SSRF, CWE-918).
Loopback and private networks are where a cluster's own services live, so they are allowed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

__all__ = ["forbidden"]

_METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
            "168.63.129.16",  # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
            "fd00:ec2::254",  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
            "fd20:ce::254",  # https://cloud.google.com/compute/docs/metadata/querying-metadata
        ),
    )
)
"""Metadata services outside of 169.254.0.0/16 and fe80::/10, the link-local networks."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are an IPv4 address (RFC 6052)."""


def forbidden(host: str) -> bool:
    """Whether a host is an IP address, in any notation of RFC 4291, that no request may go to."""
    try:
        address: IPv4Address | IPv6Address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        address = inner or address
    return address.is_link_local or address in _METADATA
