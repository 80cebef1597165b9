#!/usr/bin/env bash
# Every overlay, rendered by kustomize: held against strict schemas and the policies of checkov and kube-score, taken by
# a real kube-apiserver, and read by our tests.
# Usage: check_kubernetes.sh [folder to keep the tools in; build/tools by default]. What is missing is named: exit code 2.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

need_go 1.24 "kube-apiserver, etcd, kubectl, kubeconform and kube-score"
go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
go_tool kube-score github.com/zegl/kube-score/cmd/kube-score@v1.20.0
python_tools linters
python_tools policies

version=$(go list -C tests/deployment/apiserver -m -f '{{.Version}}' k8s.io/kubernetes)
go_module apiserver "" "-X k8s.io/component-base/version.gitVersion=$version" \
  k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl go.etcd.io/etcd/server/v3=etcd
tools_only

schemas="$root/build/kubernetes-schemas"
built_in=$("$cache/linters/bin/python" -c 'import kubernetes_validate as k, pathlib; print(pathlib.Path(k.__file__).parent / "kubernetes-json-schema")')
.venv/bin/python -m tests.deployment.kubernetes.schemas "$schemas" "$built_in/v1.34.0-local-strict"
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
for overlay in local production; do
  echo "$overlay:"
  kubectl kustomize "k8s/overlays/$overlay" > "$rendered/$overlay.yaml"
  kubeconform -strict -summary -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$rendered/$overlay.yaml"
  # Left out: a digest for our own images, which a release has to say, and a pull at every start (tags are not moved);
  # and an affinity against neighbours, since the constraints on spreading say it.
  "$cache/policies/bin/checkov" --framework kubernetes --skip-download --compact --quiet \
    --skip-check CKV_K8S_43,CKV_K8S_15 --file "$rendered/$overlay.yaml"
  strict=()
  if [ "$overlay" != local ]; then strict=(--exit-one-on-warning); fi  # there, one replica is meant
  kube-score score --kubernetes-version v1.34 --output-format ci "${strict[@]}" --ignore-test container-image-pull-policy \
    --ignore-test deployment-has-host-podantiaffinity --ignore-test statefulset-has-host-podantiaffinity \
    "$rendered/$overlay.yaml" > "$rendered/said" || { grep -vE '^\[(OK|SKIPPED)\]' "$rendered/said" >&2; exit 1; }
  echo "kube-score: $(grep -c '^\[OK\]' "$rendered/said") checks"
done
.venv/bin/pytest -q tests/deployment --ignore tests/deployment/composed --ignore tests/deployment/monitoring
