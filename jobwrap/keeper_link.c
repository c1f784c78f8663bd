/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/keeper_link.h"
#include "libjobserver/program/packet.h"

int
keeper_link_send(int socket, const struct keeper_message *message, int pidfd)
{
    return packet_send(socket, message, sizeof(*message), pidfd);
}

int
keeper_link_receive(int socket, struct keeper_message *message, int *pidfd)
{
    return packet_receive(socket, message, sizeof(*message), pidfd);
}
