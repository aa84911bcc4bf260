/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <unistd.h>

#include "ctl.h"
#include "log.h"

/* Whoever starts us with a standard stream closed shall not find the bus' socket in its place. */
static void open_standard_streams(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
                        _exit(EXIT_FAILURE); /* there is nowhere to say it */
}

int main(int argc, char **argv)
{
        open_standard_streams();
        log_setup("tankctl");
        return ctl_run(argc, argv);
}
