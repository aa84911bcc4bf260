#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What tankd-store counts: each call once, as properties and as OpenMetrics text.

setup()
{
  bats_require_minimum_version 1.5.0
  load store.bash
  setup_dir
  start_bus
}

metrics()
{
  "$build/tankctl/tankctl" store metrics
}

is_openmetrics()
{
  "$BATS_TEST_DIRNAME/openmetrics.py"
}

# admin PROPERTY JQ-FILTER: of what it is.
admin()
{
  busctl --system --json=short get-property org.tankd.Store1 /org/tankd/Store1 \
    org.tankd.Store1.Admin "$1" | jq -c ".data | $2"
}

# sample LINE-BEGINNING: the value of the one sample that begins so.
sample()
{
  awk -v begin="$1" 'index($0, begin) == 1 { print $NF }' <<<"$text"
}

of_get='{interface="org.tankd.Store1",method="Get"}'

@test "the text is OpenMetrics, and what checks that knows what is not" {
  start_store
  run -0 metrics
  text=$output
  is_openmetrics <<<"$text"

  is_not() # WHY SED-SCRIPT
  {
    run -1 is_openmetrics <<<"$(sed "$2" <<<"$text")"
    [[ $output == *"$1"* ]]
  }
  is_not 'the end is not' '/^# EOF/d'
  is_not 'are not cumulative' 's/\(sync_duration_seconds_bucket{le="0.0001"}\) .*/\1 7/'
  is_not 'count of' 's/\(sync_duration_seconds_count\) .*/\1 7/'
  is_not 'no bucket +Inf' '/le="+Inf"/d'
  is_not "the suffix ''" 's/calls_total/calls/'
  is_not 'end with its unit' 's/^# UNIT \(.*_bytes\) bytes/# UNIT \1 seconds/'
  is_not 'without TYPE and HELP' '/^# HELP tank_store_revision/d'
  is_not 'no family' '/^# \(TYPE\|HELP\) tank_store_revision/d'
  is_not 'the type' 's/^\(# TYPE .*\) gauge/\1 gouge/'
  is_not 'there already' 's/method="Delete"/method="Get"/'
  is_not 'interleaved' '/^tank_store_revision/{h;d};/^tank_store_degraded/G'
  is_not 'neither metadata' 's/^tank_store_revision .*/tank_store_revision/'
}

@test "each call counts once: answered, refused, denied, answered later" {
  start_store
  apply a
  apply a '"x":1'
  apply a '"x":1'
  refused 'not valid JSON' Apply 'sa{sv}' '{' 0
  refused 'stands at revision 3' Apply 'sa{sv}' "$(widget a)" 1 if-revision t 9
  for _ in 1 2 3; do call Get sss widget default a; done
  size=$(call Get sss widget default a | jq '.[0] | length')
  refused 'there is no widget default/b' Get sss widget default b
  refused 'names are 1 to 63' Get sss widget default B

  run -0 metrics
  text=$output
  is_openmetrics <<<"$text"
  [ "$(sample 'tank_store_calls_total{interface="org.tankd.Store1",method="Apply"}')" = 5 ]
  [ "$(sample 'tank_store_call_errors_total{interface="org.tankd.Store1",method="Apply"}')" = 2 ]
  [ "$(sample "tank_store_calls_total$of_get")" = 6 ]
  [ "$(sample "tank_store_call_errors_total$of_get")" = 2 ]
  [ "$(sample "tank_store_sent_bytes_total$of_get")" = $((4 * size)) ]
  [ "$(sample "tank_store_call_duration_seconds_count$of_get")" = 6 ]
  in=$(($(widget a | wc -c) * 2 + $(widget a '"x":1' | wc -c) * 2 + 1))
  [ "$(sample 'tank_store_received_bytes_total{interface="org.tankd.Store1",method="Apply"}')" = "$in" ]
  [ "$(sample 'tank_store_revision ')" = "$(property Revision)" ]
  # Three were written; what changed nothing was not.
  [ "$(sample tank_store_sync_duration_seconds_count)" = 2 ]
  [ "$(sample tank_store_change_log_rows)" -ge 2 ]
  [ "$(sample tank_store_queued_transactions)" = 0 ]
  [ "$(sample tank_store_degraded)" = 0 ]
  [ "$(sample 'tank_store_calls_total{interface="org.tankd.Store1.Admin",method="GetMetrics"}')" = 0 ]
  [ "$(sample 'tank_store_objects{type="widget"}')" = 1 ]
  [ "$(sample 'tank_store_objects{type="namespace"}')" = 2 ]
  # Nothing else of what is declared is told.
  [ "$(grep -v type= <<<"$text" | grep -ci 'widget\|"a"')" = 0 ]
}

# Leaves the metrics in $text.
sampled()
{
  text=$(metrics)
  [ "$(sample "$1")" = "$2" ]
}

@test "what stands in a namespace with a quota is told, behind a restart too" {
  start_store
  call Apply 'sa{sv}' '{"kind":"namespace","name":"full","quota":{"objects":2,"size":4096}}' 0
  call Apply 'sa{sv}' '{"kind":"namespace","name":"free"}' 0
  call Apply 'sa{sv}' '{"kind":"widget","name":"a","namespace":"full"}' 0
  bytes=$(printf '{"kind":"widget","name":"a","namespace":"full"}' | wc -c)
  text=$(metrics)
  is_openmetrics <<<"$text"
  for restarted in no yes; do
    if [ "$restarted" = yes ]; then
      end "$store_pid"
      start_store
    fi
    wait_for sampled 'tank_store_namespace_objects{namespace="full"}' 1
    [ "$(sample 'tank_store_namespace_bytes{namespace="full"}')" = "$bytes" ]
    [ "$(sample 'tank_store_namespace_quota_objects{namespace="full"}')" = 2 ]
    [ "$(sample 'tank_store_namespace_quota_bytes{namespace="full"}')" = 4096 ]
    [ "$(grep -c 'namespace="free"' <<<"$text")" = 0 ]
  done
  call Apply 'sa{sv}' '{"kind":"widget","name":"b","namespace":"full"}' 0
  refused 'it holds 2 of 2 objects' Apply 'sa{sv}' '{"kind":"widget","name":"c","namespace":"full"}' 0
  [ "$(statistic namespace_objects.full)" = 2 ]
  size=$((2 * bytes))
  run -0 "$build/tankctl/tankctl" get namespaces --columns name,objects,size
  [ "$(awk '/^f/ { print $1, $2, $3 }' <<<"$output")" = "free - -
full 2/2 $size/4KiB" ]
  "$build/tankctl/tankctl" describe namespace full | grep -qx 'Objects: *2/2'
  # What it shows can be applied again.
  "$build/tankctl/tankctl" get namespace full -o json | "$build/tankctl/tankctl" apply -f - | grep -q unchanged
  [ "$(statistic namespace_quota_bytes.full)" = 4096 ]
}

kv()
{
  busctl --system --json=short call org.tankd.Store1 /org/tankd/Store1 org.tankd.Store1.KeyValue "$@"
}

@test "keys and values are counted likewise, accepted or durable" {
  start_store
  kv Set 'sayaya{sv}' s 1 1 5 1 2 3 4 5 0
  kv Set 'sayaya{sv}' s 1 2 3 1 2 3 1 wait b false
  run -1 kv Set 'sayaya{sv}' s 1 1 1 1 1 if-revision t 77
  kv Get say s 1 1
  run -0 metrics
  text=$output
  is_openmetrics <<<"$text"
  of_set='{interface="org.tankd.Store1.KeyValue",method="Set"}'
  [ "$(sample "tank_store_calls_total$of_set")" = 3 ]
  [ "$(sample "tank_store_call_errors_total$of_set")" = 1 ]
  [ "$(sample "tank_store_received_bytes_total$of_set")" = 9 ]
  [ "$(sample 'tank_store_sent_bytes_total{interface="org.tankd.Store1.KeyValue",method="Get"}')" = 5 ]
  [ "$(sample 'tank_store_objects{type="namespace"}')" = 2 ]
  [ "$(sample "tank_store_calls_total$of_get")" = 0 ]
}

statistic()
{
  admin Statistics ".[\"$1\"]"
}

# What a histogram of the metrics says: its buckets are cumulative.
buckets() # FAMILY LABELS
{
  awk -v begin="tank_store_$1_bucket{$2" 'index($0, begin) == 1 { print $NF - last; last = $NF }' \
    <<<"$text" | jq -sc .
}

@test "each operation's calls, errors, bytes and times, and those of syncs, are properties" {
  start_store
  apply a
  apply b
  refused 'not valid JSON' Apply 'sa{sv}' '{' 0
  refused 'there is no widget default/x' Get sss widget default x
  text=$(metrics)
  of='interface="org.tankd.Store1",method="Apply"'
  [ "$(admin Operations '."Store1.Apply"[5]')" = "$(buckets call_duration_seconds "$of")" ]
  [ "$(admin Operations '."Store1.Apply"[:2]')" = '[3,1]' ]
  [ "$(admin Operations '."Store1.Apply" | (.[5] | add) == .[0] and .[2] > 0')" = true ]
  [ "$(admin Operations '."Store1.Apply"[3]')" = "$(sample "tank_store_received_bytes_total{$of}")" ]
  [ "$(admin Operations '."Store1.Get"[:2]')" = '[1,1]' ]
  [ "$(admin Operations '."KeyValue.Set"[:5]')" = '[0,0,0,0,0]' ]
  # All that is counted, and nothing else.
  [ "$(admin Operations length)" = "$(grep -c ^tank_store_calls_total <<<"$text")" ]
  [ "$(admin Syncs '.[0]')" = 2 ]
  [ "$(admin Syncs '.[2]')" = "$(buckets sync_duration_seconds '')" ]
  [ "$(admin TimeBounds 'select(sort == .) | length')" = "$(admin Syncs '.[2] | length - 1')" ]
  bounds=$(admin TimeBounds 'map(. / 1000000)')
  [ "$bounds" = "$(sed -n 's/^tank_store_sync_duration_seconds_bucket{le="\([0-9.]*\)".*/\1/p' <<<"$text" |
    jq -sc .)" ]
}

@test "statistics are the same numbers; metrics are the administrator's" {
  start_store
  apply a
  metrics >/dev/null
  metrics >/dev/null
  [ "$(statistic Admin.GetMetrics.calls)" = 2 ]
  [ "$(statistic Store1.Apply.calls)" = 1 ]
  [ "$(statistic Store1.Apply.errors)" = 0 ]
  [ "$(statistic Store1.Apply.usec)" -gt 0 ]
  [ "$(statistic syncs)" = 1 ]
  [ "$(statistic revision)" = 2 ]
  [ "$(statistic memtable_bytes)" -gt 0 ]
  [ "$(statistic Store1.List.calls)" = 0 ]
  [ "$(statistic nonsense)" = null ]
}

@test "a file for node_exporter: replaced as a whole, in its format" {
  start_store
  apply a
  out=$dir/tank.prom
  "$build/tankctl/tankctl" store metrics --output-file "$out"
  [ "$(stat -c %a "$out")" = 644 ]
  first=$(stat -c %i "$out")
  "$build/tankctl/tankctl" store metrics --output-file "$out"
  [ "$(stat -c %i "$out")" != "$first" ]
  [ "$(find "$dir" -name '*tank.prom*' | wc -l)" = 1 ]
  grep -qx '# TYPE tank_store_calls_total counter' "$out"
  grep -q '^# HELP tank_store_calls_total Method' "$out"
  grep -qx 'tank_store_calls_total{interface="org.tankd.Store1",method="Apply"} 1' "$out"
  grep -qx '# TYPE tank_store_call_duration_seconds histogram' "$out"
  grep -qx '# TYPE tank_store_revision gauge' "$out"
  [ "$(grep -c '^# UNIT\|^# EOF\|^$' "$out")" = 0 ]
  # Each sample belongs to a family of that name, but for the parts of a histogram.
  sed -n 's/^\(tank_[a-z_]*\).*/\1/p' "$out" | sed 's/_\(bucket\|sum\|count\)$//' | sort -u >"$dir/samples"
  sed -n 's/^# TYPE \(\S*\) .*/\1/p' "$out" | sort -u | diff - "$dir/samples"

  run -1 "$build/tankctl/tankctl" store metrics --output-file "$dir/none/tank.prom"
  [[ $output == *"cannot write $dir/none/tank.prom: No such file or directory"* ]]
  run -2 "$build/tankctl/tankctl" store metrics more
  [[ $output == *'one word too many'* ]]
  run -2 "$build/tankctl/tankctl" store nonsense
}
