#!/bin/sh
# See that what tests and benches run is there: PostgreSQL, Redis, libfaketime, Chromium.  They are Debian's packages; as
# root they are installed, else it is said what is missing.  Nothing is started: each test starts what it needs.
set -eu
missing=
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
[ -x /usr/bin/chromium ] || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "tests need servers that are not installed here:$missing" >&2
  echo "install them (on Debian, as root: apt-get install --no-install-recommends$missing), then try again" >&2
  exit 1
fi
# A package that is installed starts its server, and PostgreSQL's makes a cluster: neither is wanted.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
echo "installing what tests run against:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq -y -o Acquire::Retries=3 --no-install-recommends $missing >/dev/null; }
install 2>/dev/null || { apt-get update -qq -o Acquire::Retries=3 && install; }
