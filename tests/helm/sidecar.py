"""The library chart of the sidecar, in a chart that depends on it."""

import re
import shutil

from support import ROOT, check, loaded, run


def all(suite):
    ipv6(suite)
    image(suite)
    alias(suite)
    for file in ("credd-sidecar/values.yaml", "credd-sidecar/README.md", "credd/README.md"):
        check("fsGroup" in (suite.charts / file).read_text(), f"{file} names the fsGroup that a sidecar needs")
    for file in ("helm/credd-sidecar/README.md", "helm/credd/README.md", "README.md"):
        text = (ROOT / file).read_text()
        check("helm dependency build helm/examples/envoy" in text, f"{file} says what the example needs first")


def rendered(suite, *values):
    """The container, and all that is rendered."""
    arguments = [part for value in values for part in ("--set", f"credd-sidecar.{value}")]
    code, text, error = suite.template("examples/envoy", *arguments, release="portal", namespace="shop")
    check(code == 0, f"a sidecar with {values} is rendered", error)
    documents = loaded(text)
    deployments = [it["spec"]["template"]["spec"] for it in documents if it["kind"] == "Deployment"]
    return deployments[0]["initContainers"][0], documents


def ipv6(suite):
    flags = rendered(suite, "listenAddress=[::]")[0]["args"][1:]
    check(not any("0.0.0.0" in flag for flag in flags), "a sidecar on IPv6 alone", flags)
    code, out, error = run(suite.credd, "config", "check", *flags)
    check(code == 0, "a sidecar on IPv6 alone: its flags", out + error)


def image(suite):
    """That of the chart's version, unless another is named."""
    chart = (suite.charts / "credd-sidecar/Chart.yaml").read_text()
    version = re.search(r'(?m)^appVersion: "(.*)"$', chart)[1]
    digest = f"sha256:{'0' * 64}"
    for values, expected in (
        ([], f"credd:{version}"),
        (["image.tag="], f"credd:{version}"),
        (["image.tag=9.9.9"], "credd:9.9.9"),
        (["image.tag=", f"image.digest={digest}"], f"credd@{digest}"),
    ):
        container, _ = rendered(suite, *values)
        check(container["image"] == expected, f"the image of a sidecar with {values}", container["image"])


def alias(suite):
    """Under another name there are no values: that is told, and no pod is without a sidecar."""
    charts = suite.directory / "aliased"
    shutil.copytree(suite.charts, charts)
    example = charts / "examples/envoy"
    metadata = (example / "Chart.yaml").read_text()
    (example / "Chart.yaml").write_text(metadata.replace("version: 0.1.0\n    rep", "version: 0.1.0\n    alias: guard\n    rep"))
    values = (example / "values.yaml").read_text()
    (example / "values.yaml").write_text(values.replace("\ncredd-sidecar:", "\nguard:"))
    for helm in (suite.helm, suite.helm_4):
        run(helm, "dependency", "build", example)
        code, _, error = run(helm, "template", "portal", example)
        check(code != 0 and "give the dependency no alias" in error, "a sidecar under an alias is refused", error)
