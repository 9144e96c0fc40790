-- SPDX-License-Identifier: MIT
scenario {
	title = "SO_LINGER with a deadline that passes",
	source = "socket(7), SO_LINGER; Linux inet_release(), __tcp_close()",
	rfc = "3.9.1.5",
	shows = [[Nobody answers. After its three seconds close() returns, without an error: the program does not learn that
nothing was delivered. The kernel goes on alone, as after any other close().]],
}

server:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
local listener = server:listen()
local c = client:connect(server)
local s = listener:accept()
s:set("SO_LINGER", 3)
wire.cut()
s:write("data")
s:begin("close")
wire.quiet()
expect(server, "FIN_WAIT_1", { orphan = false })
s:finish { within = "30s" }
expect(server, "FIN_WAIT_1", { orphan = true, timer = true, send_q = 5 })
expect(client, "ESTABLISHED", { recv_q = 0 })
observe("close() has returned; nothing has arrived.")

step("The link is mended: the kernel delivers what the program has given up.")
wire.mend()
expect(client, "CLOSE_WAIT", { recv_q = 5, within = "30s" })
expect(server, "FIN_WAIT_2", { orphan = true })
check(c:read(4) == "data", "the client reads the data")
