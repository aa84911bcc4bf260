#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$(realpath "$0")")/run" disk
