-- SPDX-License-Identifier: MIT
scenario {
	title = "A process crashes with data still queued",
	source = "Linux __tcp_close(): FIN_WAIT_1 until the queue is sent; tcp_check_oom()",
	rfc = "3.9.1.5",
	shows = [[What write() has taken belongs to the kernel. It is delivered after the crash, and the FIN after it: the
peer reads everything.]],
}

local daemon = server:process("daemon")
local listener = daemon:listen()
local c = client:connect(server)
local s = listener:accept()
local acks = wire.hold { from = client }
local taken = s:write(60000)
check(taken == 60000, "the kernel takes 60000 bytes")
daemon:kill("SEGV")
daemon:exits(128 + 11)
expect(server, "FIN_WAIT_1", { orphan = true, timer = true })
check(sample(server).send_q > 0, "the kernel still has data to deliver")
observe("The server has crashed; its kernel has its data.")

step("The client's ACKs arrive, and the client reads.")
acks:release()
local got, part = 0, nil
repeat
	part = c:read(4096)
	got = got + #part
until part == ""
check(got == 60000, "the client reads all 60000 bytes, and then the end of the stream")
expect(client, "CLOSE_WAIT", { told = true })
expect(server, "FIN_WAIT_2", { orphan = true })
c:close()
expect(client, "gone")
expect(server, "TIME_WAIT")
expect_path(server, "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT")
