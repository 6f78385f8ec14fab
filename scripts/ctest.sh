#!/bin/sh
# scripts/ctest.sh BUILD [CTEST ARGUMENTS]: runs the tests of a build folder; shows what did not
# pass and, at the end, the counts that ctest wrote to BUILD/tests.xml.
set -eu
build=$1
shift

rm -f "$build/tests.xml"
{
  status=0
  ctest --test-dir "$build" -j "$(nproc)" --output-on-failure --no-tests=error \
    --output-junit tests.xml "$@" || status=$?
  echo $status > "$build/tests.status"
} 2>&1 | sed -u -e '/^ *Start /d' -e '/   Passed  /d'

python3 - "$build/tests.xml" <<'END'
import sys
import xml.etree.ElementTree as xml
suite = xml.parse(sys.argv[1]).getroot()
total, failed = int(suite.get("tests")), int(suite.get("failures"))
skipped = int(suite.get("skipped")) + int(suite.get("disabled"))
if skipped:
    print(f"{skipped} skipped")
print(f"{total - failed - skipped} passed, {failed} failed")
END
exit "$(cat "$build/tests.status")"
