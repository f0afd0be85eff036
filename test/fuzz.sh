#!/usr/bin/env bash
# Fuzzes every target of the repository for a while each: fuzz.sh 5s
#
# On a busy machine Go's fuzzer sometimes ends with "context deadline exceeded"
# when the time is up while an input runs: that is no
# finding, a finding has an input. Such a run is repeated once, and then passed.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

fuzz() { # target, directory
  go test -run '^$' -fuzz "^$1\$" -fuzztime "$time" -fuzzminimizetime 10x "$2" </dev/null >"$out" 2>&1
}

no_finding() {
  grep -q 'context deadline exceeded' "$out" && ! grep -qE 'Failing input|panic:|testdata/fuzz' "$out"
}

while read -r target dir; do
  echo "fuzz $dir $target $time"
  if ! fuzz "$target" "$dir" && ! { no_finding && { fuzz "$target" "$dir" || no_finding; }; }; then
    cat "$out"
    exit 1
  fi
  grep -E '^ok' "$out" || true
done < <(grep -rlE '^func Fuzz' --include='*_test.go' . | grep -v node_modules | sort | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9]+' "$file" | sed "s|func ||; s|\$| $(dirname "$file")|"
done)
