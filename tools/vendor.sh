#!/bin/sh
# Fetch what the panel and its tests take from npm, by name and version, and keep the files of each with its licence.
# tools/vendor.sums has the SHA-256 of every file that is kept: a file that differs is not taken.  `RENEW=1` writes it anew,
# for a version that was changed below.
set -eu
cd "$(dirname "$0")/.."
sums=tools/vendor.sums
panel=gateway/web/panel/vendor
tests=tests/gateway/web/browser/vendor
draft=$(mktemp -d)
trap 'rm -rf "$draft"' EXIT

# take PACKAGE VERSION FOLDER FILE…: the files of a package, and its LICENSE, into FOLDER/PACKAGE.
take() {
  package=$1 version=$2 folder=$3
  shift 3
  archive=$(cd "$draft" && npm pack --silent "$package@$version")
  mkdir -p "$draft/$package" "$folder/$package"
  tar xzf "$draft/$archive" -C "$draft/$package"
  for file in LICENSE "$@"; do
    cp "$draft/$package/package/$file" "$folder/$package/$(basename "$file")"
  done
}

rm -rf "$panel" "$tests"
take htmx.org 4.0.1 "$panel" dist/htmx.min.js dist/ext/hx-sse.min.js
take axe-core 4.14.1 "$tests" axe.min.js
if [ -n "${RENEW:-}" ]; then
  find "$panel" "$tests" -type f | LC_ALL=C sort | xargs sha256sum >"$sums"
fi
sha256sum --check --quiet "$sums"
