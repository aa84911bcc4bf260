# SPDX-License-Identifier: Apache-2.0
# Probes of compiler and linker flags. The lists are walked by the shell, not by m4: an m4 loop
# splits -Wl,-z,relro at its commas and the hardening vanishes without a word.

# TANK_TRY_COMPILE(FLAGS, IF-ACCEPTED, IF-NOT)
AC_DEFUN([TANK_TRY_COMPILE], [
        tank_save_CFLAGS="$CFLAGS"
        CFLAGS="-Werror $1"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([])], [CFLAGS="$tank_save_CFLAGS"; $2],
                [CFLAGS="$tank_save_CFLAGS"; $3])
])

# TANK_TRY_LINK(FLAGS, IF-ACCEPTED, IF-NOT)
AC_DEFUN([TANK_TRY_LINK], [
        tank_save_CFLAGS="$CFLAGS"
        CFLAGS="-Werror -fPIE $1"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([])], [CFLAGS="$tank_save_CFLAGS"; $2],
                [CFLAGS="$tank_save_CFLAGS"; $3])
])

# TANK_ADD_COMPILE_FLAGS(VARIABLE, FLAGS)
# gcc takes every unknown -Wno-x in silence, hence the probe of -Wx in its place.
AC_DEFUN([TANK_ADD_COMPILE_FLAGS], [
        tank_flags="$2"
        for tank_flag in $tank_flags; do
                tank_probe=`echo "$tank_flag" | sed 's/^-Wno-/-W/'`
                AC_MSG_CHECKING([whether $CC takes $tank_flag])
                TANK_TRY_COMPILE([$tank_probe],
                        [AC_MSG_RESULT([yes]); $1="$$1 $tank_flag"],
                        [AC_MSG_RESULT([no])])
        done
])

# TANK_ADD_LINK_FLAGS(VARIABLE, FLAGS)
AC_DEFUN([TANK_ADD_LINK_FLAGS], [
        tank_flags="$2"
        for tank_flag in $tank_flags; do
                AC_MSG_CHECKING([whether $CC links with $tank_flag])
                TANK_TRY_LINK([$tank_flag],
                        [AC_MSG_RESULT([yes]); $1="$$1 $tank_flag"],
                        [AC_MSG_RESULT([no])])
        done
])

# TANK_WITH_DIR(NAME, WHAT, DEFAULT)
AC_DEFUN([TANK_WITH_DIR], [
        AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [directory for $2])],
                [$1="$withval"], [$1=$3])
        AC_SUBST([$1])
])
