-- SPDX-License-Identifier: MIT
scenario {
	title = "The client waits before it closes",
	source = "experiment 3",
	rfc = "3.6",
	shows = [[The server closes at once; the client has its reply and waits. Now the server's end is in FIN_WAIT_2
and the client's in CLOSE_WAIT: what matters is who closes first, not who is the server.]],
	proves = { "passive-close" },
}

local daytimed = server:run("daytimed", "--user=none", server.port)
local daytime = client:run("daytime", "--timeout=30s", "--after-reply=hold:100s", server.address, daytimed:listens())

daytime:says("\n")
expect(server, "FIN_WAIT_2")
expect(client, "CLOSE_WAIT", { orphan = false, recv_q = 0 })
observe("The server has closed; the client waits.")

step("The client need wait no longer: it closes.")
daytime:kill("USR1")
daytime:exits(0)
expect(client, "gone")
expect(server, "TIME_WAIT")
expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
