-- SPDX-License-Identifier: MIT
scenario {
	title = "TCP_LINGER2 shortens FIN_WAIT_2 of one socket",
	source = "tcp(7), TCP_LINGER2; Linux tcp_fin_time(), __tcp_close(): linger2 < 0 resets",
	rfc = "3.6",
	loss = false, -- a reset is never sent again
	shows = [[TCP_LINGER2 sets how long this orphan may be in FIN_WAIT_2, never longer than tcp_fin_timeout. A negative
value means not at all: close() in FIN_WAIT_2 then sends RST.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
local listener = server:listen()
local port = 50000
local c1 = client:connect(server, server.port, { from = port })
local s1 = listener:accept()
local next = client:process("next"):socket() -- now: it takes a slow machine longer than a bind
c1:set("TCP_LINGER2", 3)
c1:close()
expect(client, "FIN_WAIT_2", { orphan = true, timer = true })
next:bind(port, { fails = "EADDRINUSE" })
check(sample(client).timer_ms <= 3100, "the timer has at most three seconds to go")
expect(server, "CLOSE_WAIT")
observe("Three seconds instead of sixty.")

local c2 = client:connect(server)
local s2 = listener:accept()
c2:set("TCP_LINGER2", -1)
c2:shutdown("write")
expect(client, "FIN_WAIT_2", { connection = 2, orphan = false, timer = false })
step("A second connection with TCP_LINGER2 -1 is closed in FIN_WAIT_2.")
c2:close()
expect(client, "gone", { connection = 2 })
expect(server, "gone", { connection = 2 })
expect_packet(client, { flags = "RST" })
expect(client, "gone", { within = "30s" })
expect(server, "CLOSE_WAIT")
step("No TIME_WAIT follows: the port is free.")
next:bind(port)
