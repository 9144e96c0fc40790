-- SPDX-License-Identifier: MIT
scenario {
	title = "No room for TIME_WAIT",
	source = "Linux tcp_time_wait(), inet_twsk_alloc(); sysctl tcp_max_tw_buckets",
	rfc = "3.6.1",
	shows = [[TIME_WAIT is a favour to the peer. With tcp_max_tw_buckets used up (here 1) the next closer is gone at
once; a peer whose last ACK is lost then meets RST instead of an answer.]],
}

client:sysctl("ipv4/tcp_max_tw_buckets", 1)
local listener = server:listen()
local c1 = client:connect(server)
local s1 = listener:accept()
c1:close()
expect(client, "FIN_WAIT_2")
s1:close()
expect(client, "TIME_WAIT")
expect(server, "gone")

step("The next one; the ACK of the server's FIN is lost.")
local c2 = client:connect(server)
local s2 = listener:accept()
c2:shutdown("write")
expect(client, "FIN_WAIT_2", { connection = 2, orphan = false })
expect(server, "CLOSE_WAIT", { connection = 2 })
local lost = wire.drop { from = client }
s2:close()
expect(client, "gone", { connection = 2 })
expect(server, "LAST_ACK", { connection = 2 })
observe("The client has forgotten, the server waits.", { connection = 2 })
lost:stop()
expect(server, "gone", { connection = 2 })
expect_packet(client, { flags = "RST" })
