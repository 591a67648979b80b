"""Is a request one that another site made a browser send? Pure."""

from __future__ import annotations

from admin_ui.auth import NotBelieved, Visitor

SAFE_METHODS = ("GET", "HEAD")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def cross_site(method: str, visitor: Visitor) -> str | None:
    """Return why a request counts as another site's, None if it does not. Raises NotBelieved for two headers.

    What changes something must come from a page of ours: browsers say so in Origin or Sec-Fetch-Site, which no
    page can forge, and anybody else can say so as well. What only reads may also be a link on another site, or
    come from no page at all.
    """
    site, origin = visitor.header("sec-fetch-site"), visitor.header("origin")
    if site not in (None, "same-origin", "none"):
        following_a_link = method in SAFE_METHODS and visitor.header("sec-fetch-mode") == "navigate"
        return None if following_a_link else "another site made the browser send it"
    if method in SAFE_METHODS:
        return None
    if origin is None:
        return None if site == "same-origin" else "it does not say which page it comes from (no Origin header)"
    if not _is_ours(origin, visitor):
        return f"it comes from a page of {origin[:100]}, and this is {visitor.host}"
    return None


def over_https(visitor: Visitor) -> bool:
    """Return whether the browser speaks https, also if the proxy in between does not say so."""
    try:
        return visitor.secure or (visitor.header("origin") or "").startswith("https://")
    except NotBelieved:
        return visitor.secure


def _is_ours(origin: str, visitor: Visitor) -> bool:
    scheme, separator, host = origin.lower().partition("://")
    if not separator or scheme not in DEFAULT_PORTS:
        return False
    # Behind a proxy that ends TLS and does not say so, https may look like http here, but never the other way.
    if visitor.secure and scheme != "https":
        return False
    port = DEFAULT_PORTS[scheme]
    return host.removesuffix(port) == visitor.host.removesuffix(port)
