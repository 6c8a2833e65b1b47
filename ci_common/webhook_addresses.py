"""Which addresses webhooks may be sent to."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from ci_common.addresses import Address, Network

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
            *("240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    )
)
"""In addition to what Python knows, whose list depends on its version."""


class NotReachableError(Exception):
    """A webhook may not be sent to this host; the text is for people."""


def behind(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it is of such a kind."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet, and not of a network of somebody's own."""
    address = behind(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    is_odd = address.is_multicast or address.is_reserved or not address.is_global
    return not is_odd and not any(address in network for network in _NOT_PUBLIC)


@dataclass(frozen=True, slots=True)
class WebhookAddresses:
    """The public Internet by https, and what `networks` allow."""

    networks: tuple[Network, ...] = ()

    def allowed(
        self, host: str, found: Sequence[Address], *, encrypted: bool, only_public: bool = False
    ) -> list[Address]:
        """Those of a host that may be connected to; with `only_public`, not those in `networks`.

        Raises NotReachableError when there is none.
        """
        inside = [] if only_public else [one for one in found if self._is_inside(one)]
        allowed = [one for one in found if one in inside or (encrypted and is_public(one))]
        if not allowed and any(map(self._is_inside, found)):
            raise NotReachableError(
                f"{host} is in one of CI_WEBHOOK_NETWORKS, where jobs may call only hosts that the "
                "operator names in CI_NOTIFY_HOSTS; `*` does not name it"
            )
        if not allowed:
            raise NotReachableError(_refusal(host, found))
        return allowed

    def refusal(self, host: str, *, encrypted: bool, only_public: bool = False) -> str | None:
        """Why a webhook may not be sent to this host if it is an address, in words. What a name
        stands for shows only when a message is sent.
        """
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return None
        try:
            self.allowed(host, [address], encrypted=encrypted, only_public=only_public)
        except NotReachableError as error:
            return str(error)
        return None

    def _is_inside(self, address: Address) -> bool:
        return any(behind(address) in network for network in self.networks)


def _refusal(host: str, found: Sequence[Address]) -> str:
    if any(map(is_public, found)):
        return f"{host} is a public host, and http is not encrypted: use https"
    return (
        f"{host} is not a public host; if it may be called, the operator adds its network to "
        "CI_WEBHOOK_NETWORKS"
    )
