-- SPDX-License-Identifier: MIT
scenario {
	title = "The server does not close",
	source = "experiment 2",
	rfc = "3.6",
	shows = [[The client closes; the server keeps its socket open. The client's end waits in FIN_WAIT_2 for a FIN
that does not come, the server's in CLOSE_WAIT for a close() that is not called.]],
	proves = { "passive-close", "exit-closes" },
}

local daytimed = server:run("daytimed", "--user=none", "--after-reply=keep", server.port)
local daytime = client:run("daytime", "--timeout=30s", server.address, daytimed:listens())

daytime:exits(0)
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect(server, "CLOSE_WAIT", { orphan = false, recv_q = 1 })
observe("The client has closed and gone; the server has not closed.")

step("The server's process is ended: the kernel closes in its place.")
daytimed:kill("TERM")
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
