"""Where pods may call, and where they are told to."""

import tomllib
from urllib.parse import urlsplit

from sidecar import rendered
from support import check


def all(suite):
    for name, documents in suite.rendered.items():
        for document in documents:
            text = document["data"].get("credd.toml") if document["kind"] == "ConfigMap" else None
            if text:
                server(name, tomllib.loads(text), documents)
    for endpoint, port in (
        ("http://collector.observability:14317", 14317),
        ("http://10.0.0.1", 4317),
        ("https://[fd00::1]/", 4317),
    ):
        documents = rendered(suite, f"tracesEndpoint={endpoint}")[1]
        check(port in ports(documents), f"envoy: spans may go to {endpoint}", ports(documents))
    check(4317 not in ports(suite.rendered["envoy"]), "envoy: no spans may go anywhere, since there are none")


def server(name, settings, documents):
    may = ports(documents)
    if may is None:
        return
    urls = [(url, None) for url in settings.get("etcd", {}).get("endpoints", "").split(",") if url]
    urls += [(issuer["jwks_url"], 443) for issuer in settings.get("jwt_issuers", [])]
    urls += [(settings[section]["endpoint"], 4317) for section in ("traces",) if section in settings]
    for url, port in urls:
        port = urlsplit(url).port or port
        check(port in may, f"{name}: the NetworkPolicy lets calls to {url} out", f"{port} is not in {may}")


def ports(documents):
    """Those of other machines that pods may call; nothing: there is no NetworkPolicy."""
    for document in documents:
        if document["kind"] == "NetworkPolicy":
            return {port["port"] for rule in document["spec"]["egress"] for port in rule["ports"]}
