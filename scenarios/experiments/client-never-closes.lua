-- SPDX-License-Identifier: MIT
scenario {
	title = "The client does not close, and exits",
	source = "experiment 1",
	rfc = "3.6",
	shows = [[The client reads the reply and ends without closing its socket. The kernel closes it in its place:
the connection ends as if it had been closed.]],
	proves = { "exit-closes" },
}

local daytimed = server:run("daytimed", "--user=none", server.port)
local daytime = client:run("daytime", "--timeout=30s", "--after-reply=exit", server.address, daytimed:listens())

daytime:exits(0)
expect(client, "gone")
expect(server, "TIME_WAIT", { orphan = true })
observe("The client has exited without a close.")

expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
