/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl.h"
#include "log.h"

int main(int argc, char **argv)
{
        log_setup("tankctl");
        return ctl_run(argc, argv);
}
