#!/bin/bash
# A headless Chromium for the tests of pages (Debian, Ubuntu); without one they are skipped, and say so.
#   infra/browser-for-tests.sh   installs it where none is found; about 30 s
set -euo pipefail

for name in chromium chromium-browser google-chrome chrome; do
  command -v "$name" >/dev/null && exit
done
as_root='' log=${TMPDIR:-/tmp}/ratchet-browser-install.log
[ "$(id -u)" = 0 ] || as_root=sudo
command -v apt-get >/dev/null || { echo "browser-for-tests: install Chromium with your package manager" >&2; exit 4; }
echo "browser-for-tests: installing chromium" >&2
$as_root apt-get update -qq >&2 || true
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends chromium >"$log" 2>&1 ||
  { echo "browser-for-tests: apt-get failed, see $log" >&2; exit 4; }
