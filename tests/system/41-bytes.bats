#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A million lines on every way out of a container, byte-exact; the terminal's size from the first
# byte. tests/full does it a hundred times.

load helper
load bytes

setup()
{
  bytes_setup
}

@test "a million lines by exec through pipes, to every reader" {
  exec_exact 3
}

@test "a million lines by exec through a terminal, to every reader" {
  exec_tty_exact 3
}

@test "a million lines by attach, each byte there or counted, to every reader" {
  attach_exact 3
}

@test "a million lines by logs, to every reader" {
  logs_exact 3 false
}

@test "a million lines by logs of a terminal, to every reader" {
  logs_exact 3 true
}

@test "exec -t … stty size is right a hundred times of a hundred" {
  winsize_exact 100
}
