#!/usr/bin/env bash
# Every overlay, rendered by kustomize: held against strict schemas and checkov's policies, and read by our tests.
# Usage: check_kubernetes.sh [folder to keep the tools in; build/tools by default]. What is missing is named: exit code 2.
# A dry run by a real kube-apiserver is not part of it yet (docs/deploying.md).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

need_go "kustomize and kubeconform"
go_tool kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
python_tools linters
python_tools policies

schemas="$root/build/kubernetes-schemas"
built_in=$("$cache/linters/bin/python" -c 'import kubernetes_validate as k, pathlib; print(pathlib.Path(k.__file__).parent / "kubernetes-json-schema")')
.venv/bin/python -m tests.deployment.kubernetes.schemas "$schemas" "$built_in/v1.34.0-local-strict"
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
for overlay in local production; do
  echo "$overlay:"
  kustomize build "k8s/overlays/$overlay" > "$rendered/$overlay.yaml"
  # The Prometheus operator's two kinds have no schema here; tests/deployment/test_alerts.py reads them.
  kubeconform -strict -summary -skip PodMonitor,PrometheusRule \
    -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$rendered/$overlay.yaml"
  # Left out: a digest for our own images, which a release has to say, and a pull at every start (tags are not moved).
  "$cache/policies/bin/checkov" --framework kubernetes --skip-download --compact --quiet \
    --skip-check CKV_K8S_43,CKV_K8S_15 --file "$rendered/$overlay.yaml"
done
.venv/bin/python -c 'from tests.deployment.test_alerts import EXPRESSIONS as e; print(*e.values(), sep="\n")' \
  | sed 's/\$__rate_interval/5m/' \
  | "$cache/linters/bin/python" -c 'import sys, promql_parser; print(len([promql_parser.parse(one) for one in sys.stdin]), "PromQL expressions")'
.venv/bin/pytest -q tests/deployment
