#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# As tests/system/41-bytes.bats, a hundred times each.

load ../system/helper
load ../system/bytes

setup()
{
  bytes_setup
}

@test "a million lines a hundred times by exec through pipes, to every reader" {
  exec_exact 100
}

@test "a million lines a hundred times by exec through a terminal, to every reader" {
  exec_tty_exact 100
}

@test "a million lines a hundred times by attach, each byte there or counted, to every reader" {
  attach_exact 100
}

@test "a million lines a hundred times by logs, to every reader" {
  logs_exact 100 false
}

@test "a million lines a hundred times by logs of a terminal, to every reader" {
  logs_exact 100 true
}

@test "exec -t … stty size is right a thousand times of a thousand" {
  winsize_exact 1000
}
