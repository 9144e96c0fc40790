-- SPDX-License-Identifier: MIT
scenario {
	title = "A pool outlives its server",
	source = "RFC 9293 3.6; the pool's connections are all closed by the server's exit",
	rfc = "3.6",
	shows = [[The server is restarted. Every connection in the client's pool is in CLOSE_WAIT from that moment, and the
new server's port has the old one's FIN_WAIT_2 beside it: nothing says so to the pool.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local pool = client:process("pool")
local conns = {}
for n = 1, 3 do
	conns[n] = pool:connect(server)
	listener:accept()
end
expect(server, "ESTABLISHED", { connection = 3, orphan = false })
daemon:kill("TERM")
daemon:exits(128 + 15)
for n = 1, 3 do
	expect(client, "CLOSE_WAIT", { connection = n, orphan = false, told = false })
	expect(server, "FIN_WAIT_2", { connection = n, orphan = true })
end
observe("Three dead connections in the pool.", { connection = 3 })

step("A new server listens; the pool empties itself.")
local again = server:listen()
for n = 1, 3 do
	conns[n]:reads_end()
	conns[n]:close()
	expect(client, "gone", { connection = n })
	expect(server, "TIME_WAIT", { connection = n })
end
pool:connect(server)
expect(server, "ESTABLISHED", { connection = 4 })
expect(client, "ESTABLISHED", { connection = 4 })
