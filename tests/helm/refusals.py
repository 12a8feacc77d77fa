"""What the charts refuse."""

import re

import yaml

from support import ROOT, check, merged


def all(suite):
    for row in yaml.safe_load((ROOT / "tests/helm/refused.yaml").read_text()):
        chart, base = row.get("chart", "credd"), {}
        if "file" in row:
            base = yaml.safe_load((suite.charts / f"credd/ci/{row['file']}-values.yaml").read_text())
        file = suite.directory / "refused.yaml"
        file.write_text(yaml.safe_dump(merged(base, row["values"])))
        code, _, error = suite.template(chart, "-f", file, release=row.get("release", "credd"))
        named = re.search(rf"(?<![A-Za-z]){re.escape(row['says'])}(?![A-Za-z])", error)
        check(code != 0 and named, f"refused: {row.get('release', '')} {row['values']}", f"exit {code}: {error}")
