# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by the checks: TAP on standard output, a test for each rule.

top=${TANK_SOURCE_DIR:-$(cd "$(dirname "$(realpath "$0")")/../.." && pwd)}
# shellcheck disable=SC2034 # read by those who source this
build=${TANK_BUILD_DIR:-$top/build}
tap_number=0
tap_failed=0

# tap NAME OUTPUT: passes when OUTPUT, what was found wrong, is empty.
tap()
{
  tap_number=$((tap_number + 1))
  if [ -z "$2" ]; then
    echo "ok $tap_number - $1"
  else
    tap_failed=$((tap_failed + 1))
    echo "not ok $tap_number - $1"
    awk '{ print "# " $0 }' <<<"$2"
  fi
}

tap_skip()
{
  tap_number=$((tap_number + 1))
  echo "ok $tap_number - $1 # SKIP $2"
}

tap_done()
{
  echo "1..$tap_number"
  exit $((tap_failed > 0))
}
