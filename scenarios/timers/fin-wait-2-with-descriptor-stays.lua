-- SPDX-License-Identifier: MIT
scenario {
	title = "FIN_WAIT_2 with a descriptor does not run out",
	source = "tcp(7), tcp_fin_timeout; Linux __tcp_close() sets the timer, tcp_shutdown() does not",
	rfc = "3.6",
	shows = [[tcp_fin_timeout is for orphans. A program that has shut down its side and keeps its descriptor waits as
long as the peer takes: here longer than the timeout of 3 s.]],
}

client:sysctl("ipv4/tcp_rto_min_us", 20000, { optional = true })
client:sysctl("ipv4/tcp_fin_timeout", 3)
local listener = server:listen()
local held, given_up = client:process("holds"), client:process("closes")
local c1 = held:connect(server)
local s1 = listener:accept()
local c2 = given_up:connect(server)
local s2 = listener:accept()
c1:shutdown("write")
expect(client, "FIN_WAIT_2", { orphan = false, timer = false })
c2:close()

step("An orphan that was made later is the clock: when it is gone, the time is over.")
expect(client, "FIN_WAIT_2", { connection = 2, orphan = true, timer = true })
expect(client, "gone", { connection = 2, within = "30s" })
expect(client, "FIN_WAIT_2", { orphan = false, timer = false })
expect(server, "CLOSE_WAIT")
observe("Still waiting, without a timer.")
s1:write("answer")
check(c1:read(6) == "answer", "the answer is read after all")
s1:close()
expect(client, "TIME_WAIT")
expect(server, "gone")
