"""What the charts refuse, and what they take, compared with the program."""

import copy
import re
import shutil

import yaml

from support import ROOT, check, loaded, merged, run

# Longer than any name may be, in parts that are not.
MANY = ".".join(["x" * 49] * 5)


def all(suite):
    unchecked = without_checks(suite)
    for row in rows("refused.yaml"):
        chart, what = row.get("chart", "credd"), f"{row.get('release', '')} {row['values']}"
        file = given(suite, row)
        code, _, error = suite.template(chart, "-f", file, release=row.get("release", "credd"))
        named = re.search(rf"(?<![A-Za-z]){re.escape(row['says'])}(?![A-Za-z])", error)
        check(code != 0 and named, f"refused: {what}", f"exit {code}: {error}")
        if row.get("program"):
            code, out = checked(suite, unchecked / chart, file)
            check(code == 1, f"refused by the program: {what}", out)
    for row in rows("taken.yaml"):
        chart = row.get("chart", "credd")
        code, out = checked(suite, suite.charts / chart, given(suite, row))
        check(code == 0, f"taken: {row['values']}", out)
    nothing(suite)


def rows(file):
    return yaml.safe_load((ROOT / "tests/helm" / file).read_text().replace("MANY", MANY))


def given(suite, row):
    """The file of values that a row says."""
    base = {}
    if "file" in row:
        base = yaml.safe_load((suite.charts / f"credd/ci/{row['file']}-values.yaml").read_text())
    file = suite.directory / "given.yaml"
    file.write_text(yaml.safe_dump(merged(base, row["values"])))
    return file


def without_checks(suite):
    """The charts, with neither schemas nor checks of their own."""
    charts = suite.directory / "unchecked"
    shutil.copytree(suite.charts, charts)
    for chart in ("credd", "credd-sidecar"):
        (charts / chart / "values.schema.json").unlink()
        (charts / chart / "templates/_check.tpl").write_text('{{- define "%s.check" }}{{ end }}' % chart)
    code, _, error = run(suite.helm, "dependency", "build", charts / "examples/envoy")
    check(code == 0, "the example has the charts without checks", error)
    return charts


def checked(suite, chart, file):
    """What the program says of what a chart makes of values: its code, and its words."""
    code, text, error = run(suite.helm, "template", "credd", chart, "-n", "credd", "-f", file)
    if code:
        return None, error
    configuration = suite.directory / "made.toml"
    for document in loaded(text):
        if document["kind"] == "ConfigMap" and "credd.toml" in document["data"]:
            configuration.write_text(document["data"]["credd.toml"])
            arguments = ["--config", configuration]
        if document["kind"] == "Deployment" and chart.name == "envoy":
            arguments = document["spec"]["template"]["spec"]["initContainers"][0]["args"][1:]
    code, out, error = run(suite.credd, "config", "check", *arguments)
    return code, out + error


def nothing(suite):
    """A value that is taken away with `null` is refused by its name, or of no use."""
    base = yaml.safe_load((suite.charts / "credd/ci/etcd-values.yaml").read_text())
    defaults = yaml.safe_load((suite.charts / "credd/values.yaml").read_text())
    for path in paths(merged(defaults, base)):
        values = copy.deepcopy(base)
        inner = values
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = None
        file = suite.directory / "nothing.yaml"
        file.write_text(yaml.safe_dump(values))
        code, text, error = suite.template("credd", "-f", file)
        # A template that fails over it names it, too.
        is_named = path[-1] in error and "executing" not in error
        is_whole = code == 0 and "<nil>" not in text and "<no value>" not in text
        check(is_named if code else is_whole, f"null: {'.'.join(path)}", error or "it is written as nothing")


def paths(values, before=()):
    # Of objects of Kubernetes any part may be taken away.
    free = ("resources", "podSecurityContext", "securityContext")
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict) and key not in free:
            yield from paths(value, (*before, key))
