/* SPDX-License-Identifier: Apache-2.0 */

/* What a client of a session may send: whoever may exec is at the other end of this socket. A
 * packet for each part of the input, which two bytes 0xff separate. */

#include <sys/socket.h>

#include "fd.h"
#include "fuzz.h"
#include "shim-control.h"

static void check_request(int fd)
{
        ControlRequest q = { .signo = -1 };
        int r;

        r = shim_control_receive(fd, &q);
        if (r <= 0) {
                CHECK(q.signo == -1);
                return;
        }
        CHECK(r == 1);
        if (q.type == CONTROL_SIGNAL)
                CHECK(q.signo >= 1 && q.signo <= 64);
        else
                CHECK(q.type == CONTROL_RESIZE || q.type == CONTROL_IGNORED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static int ours = -EBADF, clients = -EBADF;

        if (ours < 0)
                CHECK(shim_control_new(&ours, &clients) == 0);
        while (size > 0) {
                const uint8_t *end = memmem(data, size, "\xff\xff", 2);
                size_t n = end ? (size_t) (end - data) : size;

                if (n > 0 && send(clients, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t) n)
                        check_request(ours);
                data += n + (end ? 2 : 0);
                size -= n + (end ? 2 : 0);
        }
        return 0;
}
