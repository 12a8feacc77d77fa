"""What the README of the chart tells to do."""

import os
import re
import textwrap

from support import check, loaded, run


def all(suite):
    """Its commands name the namespace, and the chart takes their values."""
    text = (suite.charts / "credd/README.md").read_text()
    path = suite.charts / "credd/ci/sled-values.yaml"
    start = '''
        kubectl() { :; }; credd() { :; }
        helm() {
          case "$1" in install|upgrade) ;; *) return 0;; esac
          local name="$2" arguments=("${@:4}") before=()
          if [ "$1" = upgrade ]; then before=(--values "$VALUES"); fi
          "$HELM" template "$name" "$CHART" "${before[@]}" "${arguments[@]/#--reuse-values/--skip-tests}"
        }
    '''
    environment = {**os.environ, "HOME": str(suite.directory), "HELM": suite.helm, "CHART": str(suite.charts / "credd"), "VALUES": str(path)}
    commands, results = 0, []
    for block in re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", text):
        block = textwrap.dedent(block)
        for line in re.findall(r"(?m)^(?:helm|kubectl) .*$", block):
            commands += 1
            is_good = re.search(r" (-n|--namespace) ", line) or line.startswith("kubectl create namespace")
            check(is_good, f"README.md: {line}", "it has no namespace")
        code, out, error = run("bash", "-ec", start + block, env=environment, cwd=suite.directory)
        check(code == 0, f"README.md: {block}", error)
        results.append({it["kind"]: it for it in loaded(out) if it["kind"] in ("StatefulSet", "Job", "Certificate")})
    check(commands > 10, "README.md has commands", commands)
    names = [name for it in results if "Certificate" in it for name in it["Certificate"]["spec"]["dnsNames"]]
    called = re.findall(r"https://([a-z.]+):7420", text)
    check("localhost" in called and set(called) <= set(names), "README.md calls it by names that it has", (called, names))
    files = re.findall(r"--file (\S+)", text)
    check(files and not [file for file in files if not file.startswith('"$HOME/')], "README.md keeps secrets out of the repository", files)
    found = next((at for at, it in enumerate(results) if "restore" in str(it.get("Job"))), None)
    check(found is not None, "README.md restores")
    if found is not None:
        container = results[found]["Job"]["spec"]["template"]["spec"]["containers"][0]
        check("/backup" in [it["mountPath"] for it in container["volumeMounts"]], "README.md mounts the backup")
        check(results[found]["StatefulSet"]["spec"]["replicas"] == 0, "README.md stops the server to restore")
        check("Job" not in results[found + 1], "README.md takes the Job away again")
