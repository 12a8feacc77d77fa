"""What the tests of the charts share."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "helm"
NAMESPACE = "credd"

passed, failures = 0, []


def check(is_good, what, why=""):
    global passed
    if is_good:
        passed += 1
    else:
        failures.append(what)
        print(f"FAILED {what}\n    {str(why).strip()[:2000]}", flush=True)


def tool(variable):
    path = os.environ.get(variable)
    if not path or not shutil.which(path):
        sys.exit(f"{sys.argv[0]}: {variable} must name a program, and is {path!r}")
    return path


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


class Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, as the API server does."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{node.start_mark}: {twice} is there twice")
        return super().construct_mapping(node, deep)


def loaded(text):
    return [document for document in yaml.load_all(text, Strict) if document]


def merged(one, other):
    result = copy.deepcopy(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def summary(what):
    print(f"\n{what}: {passed} passed, {len(failures)} failed")
    return 1 if failures else 0
