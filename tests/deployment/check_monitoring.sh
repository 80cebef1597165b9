#!/usr/bin/env bash
# The Compose profile `monitoring` on a running stack: a real Prometheus with its configuration and alerts, the
# dashboard's queries, promtool, and a real OpenTelemetry collector.
# Usage: check_monitoring.sh [folder to keep the tools in; build/tools by default]. What is missing is named: exit code 2.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

need_go 1.26 "Prometheus and the collector"
go_module prometheus remove_all_sd "" \
  github.com/prometheus/prometheus/cmd/promtool github.com/prometheus/prometheus/cmd/prometheus
go_module collector "" "" .=otelcol
tools_only

promtool check config --lint=all --lint-fatal compose/prometheus.yml
.venv/bin/pytest -q tests/deployment/monitoring
