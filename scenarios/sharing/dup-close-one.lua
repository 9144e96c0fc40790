-- SPDX-License-Identifier: MIT
scenario {
	title = "One of two duplicates is closed",
	source = "dup(2)",
	rfc = "3.6",
	shows = [[close() of a duplicated descriptor closes the descriptor, not the connection: nothing is sent until the
last one is closed. shutdown() would not have cared how many there are.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
local copy = s:dup()

step("The server closes one of two.")
s:close()
wire.quiet()
expect(server, "ESTABLISHED", { orphan = false })
expect(client, "ESTABLISHED")
expect_packet(server, { flags = "FIN", count = 0 })
observe("Closed, and open.")

step("It closes the other.")
copy:close()
expect(server, "FIN_WAIT_2", { orphan = true })
expect(client, "CLOSE_WAIT")
c:reads_end()
c:close()
expect(server, "TIME_WAIT")
expect(client, "gone")
