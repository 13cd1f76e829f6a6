#!/bin/bash
# Scripts for `make docs` from the npm registry, so that no page fetches one: the drawings' (mermaid), and the one with
# which the search works on pages opened from the file system (iframe-worker).
set -euo pipefail
assets=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/docs/assets
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

take() { # file $3 of package $1 at version $2, as $4
  [ -s "$assets/$4" ] && return
  command -v npm >/dev/null || { echo "scripts-for-docs: needs npm (Node.js): install it, or put $3 of $1 $2 at $assets/$4" >&2; exit 4; }
  (cd "$work" && npm pack --silent "$1@$2" >/dev/null && tar xzf "$1-$2.tgz" "package/$3")
  mkdir -p "$assets"
  mv "$work/package/$3" "$assets/$4"
}

take mermaid 11.17.2 dist/mermaid.min.js mermaid.min.js
take iframe-worker 1.0.4 shim/index.js iframe-worker.js
