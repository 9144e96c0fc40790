-- SPDX-License-Identifier: MIT
scenario {
	title = "SO_LINGER with a deadline, after shutdown()",
	source = "socket(7), SO_LINGER; Linux inet_release(), __tcp_close()",
	rfc = "3.9.1.5",
	shows = [[shutdown() returns at once whatever SO_LINGER says; the close() after it still waits, as long as its FIN
is not acknowledged.]],
}

local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:set("SO_LINGER", 3)
wire.cut()
s:write("data")
s:shutdown("both")
expect(server, "FIN_WAIT_1", { orphan = false })
s:begin("close")
wire.quiet()
expect(server, "FIN_WAIT_1", { orphan = false }) -- close() has not let go
s:finish { within = "30s" }
expect(server, "FIN_WAIT_1", { orphan = true, timer = true, send_q = 5 })
expect(client, "ESTABLISHED", { recv_q = 0 })
observe("close() has waited its three seconds.")
