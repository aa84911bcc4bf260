# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The emulated machine, for the scripts beside this that boot it. Two disks: the image's (a Debian
# with systemd, tests/vm/image), and a second one with what is tried in it: `install/`, what `make
# install` puts into a machine, the tests and their programs, and `inside`, the script that the
# machine runs when it is up. The first serial port is the console, the second says what came out.

vm_here=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")" && pwd)
vm_top=$(cd "$vm_here/../.." && pwd)
vm_build=${TANK_BUILD_DIR:-$vm_top/build}
vm_cache=$vm_build/vm-cache
vm_console=$vm_cache/console.log
vm_cpus=(-accel "tcg,thread=multi" -smp 2)

# vm_make_stage INSIDE BATS: makes $vm_image, and in $vm_stage/disk what the second disk is to hold,
# with INSIDE as what is run and BATS beside the system tests. The caller removes it: vm_clean.
vm_make_stage()
{
  local disk
  vm_image=$("$vm_here/image" "$vm_cache")
  vm_stage=$(mktemp -d "$vm_cache/stage.XXXXXX")
  disk=$vm_stage/disk
  # Several may run side by side; make may not.
  exec 9>"$vm_cache/build.lock"
  flock 9
  make -s -C "$vm_build" tests/probe/probe >&2
  make -s -C "$vm_build" install DESTDIR="$disk/install" >"$vm_cache/install.log" 2>&1 || {
    tail -n 20 "$vm_cache/install.log" >&2
    echo "${0##*/}: make install failed" >&2
    return 1
  }
  exec 9>&-
  mkdir -p "$disk/build/tests/probe" "$disk/build/tankctl" "$disk/tests/vm"
  cp "$vm_here/$1" "$disk/inside"
  cp "$vm_here/guest.bash" "$vm_here/$2" "$disk/tests/vm/"
  cp "$vm_build/tests/probe/probe" "$disk/build/tests/probe/"
  cp "$vm_build/tankctl/tankctl" "$disk/build/tankctl/"
  cp -r "$vm_top/tests/system" "$disk/tests/"
}

vm_clean()
{
  [ -z "${vm_stage-}" ] || rm -rf --one-file-system "$vm_stage"
}

# vm_make_second_disk: from $vm_stage/disk.
vm_make_second_disk()
{
  rm -f "$vm_stage/disk.ext4"
  mke2fs -q -t ext4 -d "$vm_stage/disk" "$vm_stage/disk.ext4" 256M >&2
}

# vm_make_command ROOT-DRIVE TOLD [WORD…]: $vm_command boots with that root file system (an argument
# of -drive), writes what it says to the file TOLD, and passes each WORD to its kernel. Emulated,
# without /dev/kvm: the same everywhere.
vm_make_command()
{
  local drive=$1 told=$2
  shift 2
  # shellcheck disable=SC2034 # run by the caller
  vm_command=(
    qemu-system-x86_64
    "${vm_cpus[@]}" -cpu max -m 2048 -machine q35
    -nodefaults -display none -no-reboot -monitor none
    -kernel "$vm_image/vmlinuz" -initrd "$vm_image/initrd"
    -append "root=/dev/vda rw console=ttyS0 quiet loglevel=4 systemd.show_status=0 mitigations=off $*"
    -drive "$drive,if=virtio"
    -drive "file=$vm_stage/disk.ext4,format=raw,if=virtio,snapshot=on"
    -serial "file:$vm_console" -serial "file:$told"
  )
}

# vm_whole_lines FILE: what the machine said; it may have died in the middle of its last line.
vm_whole_lines()
{
  local line
  while IFS= read -r line; do printf '%s\n' "${line%$'\r'}"; done <"$1"
}
