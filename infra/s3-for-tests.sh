#!/bin/bash
# A real S3 server for tests: Ceph's radosgw over a monitor and one in-memory object store daemon (Debian, Ubuntu).
#   eval "$(infra/s3-for-tests.sh start)"   install what is missing, start, print export lines; about 15 s once installed
#   infra/s3-for-tests.sh stop              end the three daemons and delete their folder
# The state lies in $RATCHET_S3_DIR (default: $TMPDIR/ratchet-s3-<user id>); nothing survives `stop`; all listens on 127.0.0.1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${RATCHET_S3_DIR:-${TMPDIR:-/tmp}/ratchet-s3-$(id -u)}
conf=$dir/ceph.conf
key=RATCHETTESTKEY000001 secret=ratchet-test-secret-0000000000000000000000
say() { echo "s3-for-tests: $*" >&2; }

running() { # daemon $1, and not some later process with its number
  [ -s "$dir/run/$1.pid" ] && grep -qs -- "$conf" "/proc/$(cat "$dir/run/$1.pid")/cmdline"
}

free_port() { # the first free port from $1 up
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

install() {
  command -v ceph-mon >/dev/null && command -v ceph-osd >/dev/null && command -v radosgw >/dev/null && command -v ceph >/dev/null && return
  local as_root='' policy=/usr/sbin/policy-rc.d made=''
  [ "$(id -u)" = 0 ] || as_root=sudo
  command -v apt-get >/dev/null || { say "needs ceph-mon, ceph-osd, radosgw and ceph: install them with your package manager"; exit 4; }
  say "installing ceph-mon, ceph-osd, radosgw (about 30 s)"
  if [ ! -e $policy ]; then # the packages must not start services of their own
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null && $as_root chmod 755 $policy && made=yes
  fi
  $as_root apt-get update -qq >&2 || true
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends \
    ceph-mon ceph-osd radosgw ceph-common >"${TMPDIR:-/tmp}/ratchet-s3-install.log" 2>&1 ||
    { say "apt-get failed, see ${TMPDIR:-/tmp}/ratchet-s3-install.log"; exit 4; }
  [ -z "$made" ] || $as_root rm -f $policy
}

start() {
  if running client.rgw && [ -s "$dir/env" ]; then cat "$dir/env"; return; fi
  install
  stop
  mkdir -p "$dir"/{run,mon,osd,rgw}
  local fsid osd_id s3_port mon_port log=$dir/start.log
  fsid=$(cat /proc/sys/kernel/random/uuid) osd_id=$(cat /proc/sys/kernel/random/uuid)
  mon_port=$(free_port 13300) s3_port=$(free_port 17480)
  sed -e "s|@DIR@|$dir|g" -e "s|@FSID@|$fsid|" -e "s|@MON_PORT@|$mon_port|g" -e "s|@S3_PORT@|$s3_port|" "$here/ceph.conf.in" >"$conf"
  {
    monmaptool --create --clobber --addv a "[v2:127.0.0.1:$mon_port]" --fsid "$fsid" "$dir/monmap"
    ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap"
    ceph-mon -c "$conf" -i a
    timeout 60 ceph -c "$conf" osd new "$osd_id" 0
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_id"
    ceph-osd -c "$conf" -i 0
    radosgw -c "$conf" -n client.rgw
    timeout 60 radosgw-admin -c "$conf" -n client.rgw user create --uid=ratchet --display-name=ratchet \
      --access-key=$key --secret-key=$secret
  } >"$log" 2>&1 </dev/null || { say "did not start; the end of $log says:"; tail -5 "$log" >&2; stop; exit 4; }
  await "$s3_port" || { say "does not answer on port $s3_port; see $dir/client.rgw.log"; exit 4; }
  cat >"$dir/env" <<END
export RATCHET_TEST_S3_ENDPOINT=http://127.0.0.1:$s3_port
export AWS_ACCESS_KEY_ID=$key
export AWS_SECRET_ACCESS_KEY=$secret
export AWS_DEFAULT_REGION=us-east-1
END
  say "ready on port $s3_port"
  cat "$dir/env"
}

await() {
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.2
  done
  return 1
}

stop() {
  local name pid
  for name in client.rgw osd.0 mon.a; do
    running "$name" || continue
    pid=$(cat "$dir/run/$name.pid")
    kill "$pid"
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$dir"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) say "usage: eval \"\$($0 start)\" or $0 stop"; exit 2 ;;
esac
