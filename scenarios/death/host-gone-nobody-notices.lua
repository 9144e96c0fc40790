-- SPDX-License-Identifier: MIT
scenario {
	title = "The peer's host is gone, and nobody notices",
	source = "RFC 9293 3.5.1 (half-open connections), 3.8.4",
	rfc = "3.5.1",
	shows = [[Without keepalive an idle connection to a host that has vanished stays ESTABLISHED for ever: TCP sends
nothing, so nothing can fail. The reader waits, and no timer runs.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()
c:begin("read")
wire.quiet()
wire.cut()
daemon:kill("KILL")
daemon:exits()
wire.quiet()
expect(client, "ESTABLISHED", { orphan = false, timer = false })
observe("The client waits for a server that is gone.")

step("The link comes back, but too late: the server's kernel knows nothing of the connection any more.")
wire.inject(server, { flags = "RST" })
expect(server, "gone")
wire.mend()
wire.quiet()
expect(client, "ESTABLISHED", { orphan = false })
