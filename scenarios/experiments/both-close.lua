-- SPDX-License-Identifier: MIT
scenario {
	title = "Both sides close",
	source = "the programs as they are",
	rfc = "3.6",
	shows = [[The server closes first, as soon as it has sent its reply: it is the closer, and TIME_WAIT stays
with it for 60 s. The client closes when it has read the reply, and its socket is gone at once.]],
}

local daytimed = server:run("daytimed", "--user=none", server.port)
local daytime = client:run("daytime", "--timeout=30s", server.address, daytimed:listens())

daytime:exits(0)
expect(client, "gone")
expect(server, "TIME_WAIT", { orphan = true })
observe("Both have closed.")

expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "TIME_WAIT")
expect_path(client, "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "gone")
