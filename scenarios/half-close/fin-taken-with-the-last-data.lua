-- SPDX-License-Identifier: MIT
scenario {
	title = "One read takes the last data and the FIN",
	source = "Linux tcp_recvmsg_locked(): the FIN is a byte of sequence behind the data it came with",
	rfc = "3.6",
	shows = [[The FIN came in the segment of the last data, and the read that took the data took it too: Recv-Q is 0, and yet
no read has returned 0. From outside this cannot be told from a program that was told: the cause drained.]],
}
local listener = server:listen(13)
local c = client:connect(server, 13)
local s = listener:accept()
s:set("TCP_CORK", 1)
s:write("the last of it\n")
s:close()
expect(client, "CLOSE_WAIT")
check(c:read() == "the last of it\n", "the data")
expect(client, "CLOSE_WAIT", { told = false, recv_q = 0 })
expect(server, "FIN_WAIT_2")
expect_packet(server, { flags = "FIN", length = 15, count = 1 })
observe("All was read, and no read has returned 0.")
step("The next read returns 0.")
c:reads_end()
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
