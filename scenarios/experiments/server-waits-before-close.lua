-- SPDX-License-Identifier: MIT
scenario {
	title = "The server waits before it closes",
	source = "experiment 4",
	rfc = "3.6",
	shows = [[The client closes when it has its reply; the server waits before it does. Until then the states are
those of a server that never closes: the kernel cannot know which of the two it is.]],
	proves = { "passive-close" },
}

local daytimed = server:run("daytimed", "--user=none", "--after-reply=hold:100s", server.port)
local daytime = client:run("daytime", "--timeout=30s", server.address, daytimed:listens())

daytime:exits(0)
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
expect(server, "CLOSE_WAIT", { orphan = false, recv_q = 1 })
observe("The client has closed and gone; the server waits.")

step("The server need wait no longer: it closes.")
daytimed:kill("USR1")
expect(server, "gone")
expect(client, "TIME_WAIT")
expect_path(server, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
expect_path(client, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
