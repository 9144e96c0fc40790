-- SPDX-License-Identifier: MIT
scenario {
	title = "A process ends in each closing state",
	source = "Linux exit_files(), __tcp_close()",
	rfc = "3.6",
	shows = [[Whatever its connection is in when a process ends, the kernel takes over: what waits for an ACK goes on
as an orphan, FIN_WAIT_2 gets its timer, CLOSE_WAIT is closed at last.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
server:sysctl("ipv4/tcp_rto_min_us", 50000, { optional = true })
local n = 0
local listening = server:process("daemon"):listen()
local function connected()
	n = n + 1
	local caller = client:process("caller")
	local c = caller:connect(server)
	return caller, c, listening:accept(), { connection = n }
end
local function state(options)
	return { connection = n, orphan = options.orphan, timer = options.timer }
end

local caller, c, s, here = connected()
step("FIN_WAIT_1.")
local lost = wire.drop { from = client, flags = "FIN" }
c:shutdown("write")
expect(client, "FIN_WAIT_1", here)
lost:caught()
caller:exit()
expect(client, "FIN_WAIT_1", state { orphan = true, timer = true })
lost:stop()
expect(client, "FIN_WAIT_2", state { orphan = true })

caller, c, s, here = connected()
step("FIN_WAIT_2.")
c:shutdown("write")
expect(client, "FIN_WAIT_2", state { orphan = false, timer = false })
caller:exit()
expect(client, "FIN_WAIT_2", state { orphan = true, timer = true })

caller, c, s, here = connected()
step("CLOSE_WAIT.")
s:shutdown("write")
expect(client, "CLOSE_WAIT", here)
caller:kill("KILL")
expect(client, "gone", here)
expect(server, "TIME_WAIT", here)

caller, c, s, here = connected()
step("LAST_ACK.")
s:shutdown("write")
expect(client, "CLOSE_WAIT", here)
expect(server, "FIN_WAIT_2", here)
lost = wire.drop { from = server }
c:shutdown("write")
expect(client, "LAST_ACK", here)
lost:caught()
caller:exit()
expect(client, "LAST_ACK", state { orphan = true, timer = true })
lost:stop()
expect(client, "gone", here)

caller, c, s, here = connected()
step("TIME_WAIT.")
c:shutdown("write")
expect(client, "FIN_WAIT_2", here)
s:close()
expect(client, "TIME_WAIT", here)
caller:exit()
expect(client, "TIME_WAIT", here)

caller, c, s, here = connected()
step("CLOSING.")
local held = wire.hold {}
c:shutdown("write")
s:shutdown("write")
expect(client, "FIN_WAIT_1", here)
expect(server, "FIN_WAIT_1", here)
wire.release()
expect(client, "CLOSING", state { orphan = false })
expect(server, "CLOSING", here)
caller:exit()
expect(client, "CLOSING", state { orphan = true, timer = true })
observe("CLOSING, and nobody holds it.", here)
held:stop()
expect(client, "TIME_WAIT", here)
